"""Ten thousand cookies that nobody was given open nothing and break nothing."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import random
import string
import typing as t

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface

from flask_state.core.tokens import ALPHABET
from tests.rig.browser import Answer
from tests.rig.browser import Browser
from tests.rig.browser import send
from tests.rig.browser import target
from tests.rig.gunicorn import Gunicorn
from tests.torture.conftest import each_deployment

pytestmark = pytest.mark.torture

COOKIES: t.Final = 10_000
LOCATOR: t.Final = 10
LENGTH: t.Final = 36

Forge = cabc.Callable[[random.Random, str], bytes]


def text(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choices(alphabet, k=length))


def unknown(chance: random.Random, valid: str) -> bytes:
    """An id as they are, that was never given to anyone."""
    return text(chance, ALPHABET, LENGTH).encode()


def other_secret(chance: random.Random, valid: str) -> bytes:
    """Where a session is, but not what proves that it is one's own."""
    return (valid[:LOCATOR] + text(chance, ALPHABET, LENGTH - LOCATOR)).encode()


def other_locator(chance: random.Random, valid: str) -> bytes:
    return (text(chance, ALPHABET, LOCATOR) + valid[LOCATOR:]).encode()


def other_characters(chance: random.Random, valid: str) -> bytes:
    """The valid id but for a few characters, of any alphabet."""
    characters = list(valid)
    for _ in range(chance.randint(1, 4)):
        alphabet = chance.choice([ALPHABET, string.printable[:95], "äÖßéñ", "日本ЖшΩ", "🍪💥"])
        characters[chance.randrange(LENGTH)] = chance.choice(alphabet)
    return "".join(characters).encode()


def flipped_bits(chance: random.Random, valid: str) -> bytes:
    data = bytearray(valid.encode())
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(LENGTH)] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(chance: random.Random, valid: str) -> bytes:
    start, end = sorted(chance.choices(range(LENGTH + 1), k=2))
    return chance.choice([valid[:end], valid[start:], valid[start:end]]).encode()


def repeated(chance: random.Random, valid: str) -> bytes:
    separator = chance.choice(["", ".", ",", " ", "=", "&", "|", ".p"])
    return separator.join([valid] * chance.randint(2, 5)).encode()


def ended_otherwise(chance: random.Random, valid: str) -> bytes:
    """With something before or behind it that nobody put there."""
    more = chance.choice([".p.p", "..p", ".q", ".P", "=", "\\", "%00", "\x01", "\t.", "a", ".p "])
    return (more + valid if chance.random() < 0.5 else valid + more + "x").encode()


def quoted(chance: random.Random, valid: str) -> bytes:
    inside = chance.choice([valid[1:], valid + valid, valid[:-1] + '\\"', "\\141" + valid[1:], ""])
    return chance.choice(['"{}"', '"{}', '{}"', '""{}""', "'{}'", '"\\"{}"']).format(inside).encode()


def separated(chance: random.Random, valid: str) -> bytes:
    """Cut in two by what separates cookies, names and values."""
    place = chance.randrange(1, LENGTH)
    separator = chance.choice([";", "; ", "; session=", ";session=;", ", ", "=", " ", ";;", "; $Path="])
    return (valid[:place] + separator + valid[place:]).encode()


def many(chance: random.Random, valid: str) -> bytes:
    """Several of one name, more than are looked up."""
    others = [unknown(chance, valid) for _ in range(chance.randint(2, 50))]
    return b"; session=".join(others)


def long(chance: random.Random, valid: str) -> bytes:
    size = chance.choice([37, 100, 4_000, 8_190, 20_000])
    return chance.choice([b"a" * size, b"\xff" * size, valid.encode() * (size // LENGTH), b"=" * size])


def latin(chance: random.Random, valid: str) -> bytes:
    """Bytes that are no text in UTF-8."""
    size = chance.choice([1, 10, LENGTH, 100])
    return bytes(chance.choices(range(0x80, 0x100), k=size))


def any_bytes(chance: random.Random, valid: str) -> bytes:
    return bytes(chance.choices(range(0x100), k=chance.choice([1, 10, LENGTH, 100])))


def foreign(chance: random.Random, valid: str) -> bytes:
    """What other systems call a session id."""
    url_safe = string.ascii_letters + string.digits + "-_"
    return chance.choice(
        [
            text(chance, url_safe, 43),
            text(chance, string.hexdigits, 32),
            text(chance, ALPHABET.upper(), LENGTH),
            text(chance, "lmno6789", LENGTH),
            f"{text(chance, url_safe, 20)}.{text(chance, url_safe, 6)}.{text(chance, url_safe, 27)}",
            f"s:{text(chance, url_safe, 32)}.{text(chance, url_safe, 43)}",
            f"{{{text(chance, string.hexdigits, 8)}-0000}}",
        ]
    ).encode()


def signed_by_another(chance: random.Random, valid: str) -> bytes:
    """What Flask itself signs, with a key that is not ours; or not whole."""
    app = flask.Flask("another")
    app.secret_key = f"key {chance.random()}"
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    whole = serializer.dumps({"a": "forged", "_permanent": True})
    payload, _, rest = whole.partition(".")
    return chance.choice([whole, whole[:-1], "." + whole, payload + "..", f".{rest}."]).encode()


FORGERIES: t.Final[tuple[Forge, ...]] = (
    unknown,
    other_secret,
    other_locator,
    other_characters,
    flipped_bits,
    cut,
    repeated,
    ended_otherwise,
    quoted,
    separated,
    many,
    long,
    latin,
    any_bytes,
    foreign,
    signed_by_another,
)


def forged(chance: random.Random, valid: str) -> cabc.Iterator[bytes]:
    """Cookies that look like one, and aren't."""
    while True:
        forge = chance.choice(FORGERIES)
        value = forge(chance, valid)
        if chance.random() < 0.2:
            value += b".p"
        # A header can't hold these at all; and by chance it may be the valid one after all.
        if not set(b"\0\r\n") & set(value) and not opens(value, valid):
            yield value


def opens(value: bytes, valid: str) -> bool:
    """Whether a value holds the valid id: browsers may quote it, and it may be permanent."""
    parts = b"session=".join([b"", value]).split(b";")
    values = [part.strip().partition(b"=")[2].strip(b'"') for part in parts]
    return valid.encode() in [value.removesuffix(b".p") for value in values]
