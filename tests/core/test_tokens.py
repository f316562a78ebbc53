"""Randomness as text."""

from __future__ import annotations

import collections
import secrets

import pytest

from flask_state.core import tokens
from flask_state.core.tokens import ALPHABET
from flask_state.core.tokens import random_bytes
from flask_state.core.tokens import random_text
from flask_state.core.tokens import text_from


def test_the_alphabet_has_five_bits_per_letter_and_needs_no_escape() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 32
    assert ALPHABET.isascii()
    assert ALPHABET.isalnum()
    assert ALPHABET.lower() == ALPHABET


@pytest.mark.parametrize("length", [1, 10, 26, 36, 500])
def test_random_text_has_the_length_asked_for(length: int) -> None:
    text = random_text(length)
    assert len(text) == length
    assert set(text) <= set(ALPHABET)


def test_every_letter_is_as_likely_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda length: bytes(range(length)))
    assert set(collections.Counter(random_text(256)).values()) == {8}


def test_all_randomness_is_the_secure_source_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def token_bytes(length: int) -> bytes:
        asked.append(length)
        return b"\0" * length

    monkeypatch.setattr(secrets, "token_bytes", token_bytes)
    assert random_text(36) == "a" * 36
    assert random_bytes(12) == b"\0" * 12
    assert asked == [36, 12]


def test_text_does_not_repeat() -> None:
    assert len({random_text(26) for _ in range(10_000)}) == 10_000


def test_text_from_a_digest_is_always_the_same() -> None:
    digest = bytes(range(0, 256, 8))
    assert text_from(digest, 26) == text_from(digest, 26) == "aiqyaiqyaiqyaiqyaiqyaiqyai"
    assert text_from(digest, 3) == text_from(digest, 26)[:3]


def test_text_is_never_longer_than_its_digest() -> None:
    with pytest.raises(ValueError, match="27"):
        text_from(bytes(26), 27)


def test_text_uses_the_letters_of_ids() -> None:
    assert set(text_from(bytes(range(256)), 256)) == set(ALPHABET)
    assert tokens.ALPHABET[0] == "a"
