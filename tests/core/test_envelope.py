"""The frame around stored and sent bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_state.core import envelope
from flask_state.core.envelope import COMPRESSED
from flask_state.core.envelope import SEALED
from flask_state.core.envelope import Opened
from flask_state.core.envelope import unwrap
from flask_state.core.envelope import wrap


def test_the_layout_stays_what_it_was() -> None:
    assert wrap(b"payload") == b"\x01\x00payload"
    assert wrap(b"payload", SEALED, b"kkkk") == b"\x01\x01kkkkpayload"
    assert wrap(b"payload", SEALED | COMPRESSED, b"kkkk") == b"\x01\x03kkkkpayload"
    assert envelope.PLAIN == b"\x01\x00"


@given(st.binary(), st.sampled_from([0, SEALED, COMPRESSED, SEALED | COMPRESSED]))
def test_what_is_wrapped_comes_out(payload: bytes, flags: int) -> None:
    key_id = b"abcd" if flags & SEALED else b""
    assert unwrap(wrap(payload, flags, key_id)) == Opened(flags, key_id, payload)


@pytest.mark.parametrize("version", [0, 2, 3, 127, 255])
def test_an_unknown_version_is_absent(version: int) -> None:
    assert unwrap(bytes([version, 0]) + b"payload") is None


@pytest.mark.parametrize("flag", [4, 8, 16, 32, 64, 128])
def test_an_unknown_flag_is_absent(flag: int) -> None:
    for known in (0, SEALED, COMPRESSED):
        assert unwrap(bytes([1, flag | known]) + b"kkkkpayload") is None


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x01", b"\x01\x01kkk"])
def test_missing_bytes_are_absent(data: bytes) -> None:
    assert unwrap(data) is None


@given(st.binary(max_size=12))
def test_any_bytes_are_an_envelope_or_absent(data: bytes) -> None:
    opened = unwrap(data)
    assert opened is None or wrap(opened.payload, opened.flags, opened.key_id) == data


@pytest.mark.parametrize(("flags", "key_id"), [(0, b"kkkk"), (SEALED, b""), (SEALED, b"kkkkk")])
def test_a_key_id_goes_with_a_seal_and_nothing_else(flags: int, key_id: bytes) -> None:
    with pytest.raises(ValueError, match="key id"):
        wrap(b"payload", flags, key_id)
