"""Ten thousand cookies that nobody was given open nothing and break nothing."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import itertools
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
from tests.rig.deployments import GEVENT
from tests.rig.deployments import LMDB
from tests.rig.deployments import MEMORY
from tests.rig.deployments import Deployment
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

each_deployment = pytest.mark.parametrize(
    "deployment", [LMDB, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)

COOKIES_PER_ROUND: t.Final = 200
LOCATOR: t.Final = 10
LENGTH: t.Final = 36
SENDERS: t.Final = 4

CONTROLS: t.Final = {*range(32), 127} - {9}
"""Bytes that no server lets through in a header."""

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
    more = chance.choice([".p.p", "..p", ".q", ".P", "=", "\\", "%00", "\t.", "a", ".p "])
    return (more + valid if chance.random() < 0.5 else valid + more + "x").encode()


def quoted(chance: random.Random, valid: str) -> bytes:
    inside = chance.choice([valid[1:], valid + valid, valid[:-1] + '\\"', "\\141" + valid[1:], ""])
    return (
        chance.choice(['"{}"', '"{}', '{}"', '""{}""', "'{}'", '"\\"{}"']).format(inside).encode()
    )


def separated(chance: random.Random, valid: str) -> bytes:
    """Cut in two by what separates cookies, names and values."""
    place = chance.randrange(1, LENGTH)
    separator = chance.choice(
        [";", "; ", "; session=", ";session=;", ", ", "=", " ", ";;", "; $Path="]
    )
    return (valid[:place] + separator + valid[place:]).encode()


def many(chance: random.Random, valid: str) -> bytes:
    """Several of one name, more than are looked up."""
    others = [unknown(chance, valid) for _ in range(chance.randint(2, 50))]
    return b"; session=".join(others)


def long(chance: random.Random, valid: str) -> bytes:
    size = chance.choice([37, 100, 4_000, 8_190, 20_000])
    return chance.choice(
        [b"a" * size, b"\xff" * size, valid.encode() * (size // LENGTH), b"=" * size]
    )


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
            ".".join(text(chance, url_safe, length) for length in (20, 6, 27)),
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


def forged(
    chance: random.Random, valid: str, forgeries: tuple[Forge, ...] = FORGERIES
) -> cabc.Iterator[bytes]:
    """Cookies that look like one, and aren't."""
    while True:
        value = chance.choice(forgeries)(chance, valid)
        if chance.random() < 0.2:
            value += b".p"
        # By chance it may be the valid one after all.
        if not CONTROLS & set(value) and not opens(value, valid):
            yield value


def opens(value: bytes, valid: str) -> bool:
    """Whether a value holds the valid id: browsers may quote it, and it may be permanent."""
    pairs = (b"session=" + value).split(b";")
    values = [pair.strip().partition(b"=")[2].strip(b'"') for pair in pairs]
    return valid.encode() in [value.removesuffix(b".p") for value in values]


def put(server: Gunicorn, values: list[bytes], *steps: str) -> list[Answer]:
    """Send one request for each value, as the value of the session cookie, to all workers."""
    workers = server.workers()
    path = target(*steps)

    def send_all(start: int) -> list[Answer]:
        worker = workers[start % len(workers)]
        mine = values[start::SENDERS]
        return [send(server, path, b"session=" + value, worker=worker) for value in mine]

    with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
        parts = list(pool.map(send_all, range(SENDERS)))
    return [parts[i % SENDERS][i // SENDERS] for i in range(len(values))]


def count(server: Gunicorn) -> int:
    """How many sessions there are."""
    return t.cast(int, send(server, "/count", b"").seen[0])


@pytest.fixture
def browser(server: Gunicorn) -> Browser:
    """Holds a valid session."""
    browser = Browser(server)
    browser.run("set a mine")
    return browser


@each_deployment
def test_10_000_forged_cookies_open_and_store_nothing(
    server: Gunicorn, browser: Browser, deployment: Deployment
) -> None:
    """S3, S7: none is adopted, none is an error, and none is answered with a cookie."""
    valid = browser.cookies["session"]
    number = COOKIES_PER_ROUND * deployment.rounds
    values = list(itertools.islice(forged(random.Random(1_906), valid), number))
    before = count(server)
    answers = put(server, values, "read a")
    for value, answer in zip(values, answers, strict=True):
        assert answer.status == 200, value
        assert answer.seen == [None], value
        assert answer.cookies == [], value
    assert count(server) == before
    assert browser.run("look").seen[0]["items"] == {"a": "mine"}


@each_deployment
def test_a_forged_cookie_does_not_hide_a_valid_one(server: Gunicorn, browser: Browser) -> None:
    """S8: a neighbour can set a cookie of the same name, and it may come first."""
    valid = browser.cookies["session"].encode()
    chance = random.Random(1_907)
    values = []
    for value in itertools.islice(forged(chance, valid.decode()), 500):
        # One that is cut in two, or many in one, counts as many; more than a few are too many.
        if value.count(b"session=") < 2:
            values.append(value + b"; session=" + valid)
            values.append(valid + b"; session=" + value)
    assert len(values) > 500
    for value, answer in zip(values, put(server, values, "read a"), strict=True):
        assert answer.status == 200, value
        assert answer.seen == ["mine"], value
        assert answer.cookies == [], value


@each_deployment
def test_an_id_that_was_replaced_does_not_hide_the_one_that_replaced_it(server: Gunicorn) -> None:
    """S8: a browser can hold both, for a domain and for a part of it."""
    browser = Browser(server)
    browser.run("set a mine")
    replaced = browser.cookies["session"].encode()
    browser.run("regenerate")
    valid = browser.cookies["session"].encode()
    assert replaced != valid
    values = [replaced + b"; session=" + valid, valid + b"; session=" + replaced]
    for value, answer in zip(values, put(server, values, "read a"), strict=True):
        assert answer.seen == ["mine"], value
        assert answer.cookies == [], value


@each_deployment
def test_who_stores_something_under_a_forged_cookie_gets_an_id_of_ours(
    server: Gunicorn, browser: Browser
) -> None:
    """S3: an id that somebody planted never becomes a session's."""
    valid = browser.cookies["session"]
    chance = random.Random(1_908)
    forgeries = (unknown, other_secret, other_characters, latin, foreign)
    values = list(itertools.islice(forged(chance, valid, forgeries), 200))
    before = count(server)
    answers = put(server, values, "set a theirs")
    given = set()
    for value, answer in zip(values, answers, strict=True):
        (cookie,) = answer.cookies
        assert not cookie.deletes
        assert cookie.value[:LOCATOR].encode() != value[:LOCATOR]
        given.add(cookie.value)
    assert len(given) == len(values)
    assert count(server) == before + len(values)
    for value, answer in zip(values, put(server, values, "read a"), strict=True):
        assert answer.seen == [None], value
    assert browser.run("look").seen[0]["items"] == {"a": "mine"}
