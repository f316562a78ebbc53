"""The commands print all that they should, whoever is fast today."""

from __future__ import annotations

import pytest

from . import __main__ as command
from . import profile


@pytest.mark.parametrize("words", [[], ["--markdown"]])
def test_the_table_has_every_row_and_names_everybody(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    command.main(["--seconds", "0.01", *words])
    printed = capsys.readouterr().out
    for peer in ("Python 3.", "Flask 3.", "Werkzeug 3.", "Flask-Session", "ormsgpack", "lmdb"):
        assert peer in printed
    lines = printed.splitlines()
    for engine in ("memory", "lmdb"):
        for verb in ("read", "write"):
            assert sum(f"{verb}, {engine} / {verb}, signed cookie" in line for line in lines) == 1
            for large in ("20 of 10 KB", "2,000 of 100 B"):
                pair = f"{verb} one of {large}, {engine} / {verb}, {engine}"
                assert sum(pair in line for line in lines) == 1
    assert ("| job | " in printed) == bool(words)


def test_the_profile_names_our_functions_and_the_parts_of_a_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "CALLS", 20)
    profile.main(["write", "lmdb"])
    printed = capsys.readouterr().out
    assert "open_session" in printed
    assert "save_session, changed" in printed
