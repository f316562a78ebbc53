"""The only place that asks for randomness."""

from __future__ import annotations

import secrets

ALPHABET = "abcdefghijklmnopqrstuvwxyz012345"
"""32 characters, five bits each, that no URL, cookie or file name ever escapes."""

_LETTERS = {byte: ALPHABET[byte & 31] for byte in range(256)}


def random_text(length: int) -> str:
    """Random text over `ALPHABET`, five bits of entropy per character.

    :param length: number of characters, at least 1.
    :return: text from the operating system's secure source.
    """
    return secrets.token_bytes(length).decode("latin-1").translate(_LETTERS)


def text_from(digest: bytes, length: int) -> str:
    """The same kind of text, made from a keyed digest, for ids that must be derived again.

    :param digest: at least `length` bytes.
    :param length: number of characters.
    """
    if len(digest) < length:
        raise ValueError(f"{length} characters need as many bytes, got {len(digest)}")
    return digest[:length].decode("latin-1").translate(_LETTERS)


def random_bytes(length: int) -> bytes:
    """`length` random bytes from the operating system's secure source."""
    return secrets.token_bytes(length)
