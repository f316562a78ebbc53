"""The keyring: its formats never change unnoticed, and nothing but its own secrets opens."""

from __future__ import annotations

import gc
import hashlib
import hmac
import itertools
import logging
import typing as t
import weakref

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given
from hypothesis import strategies as st

from flask_state.core import envelope
from flask_state.core import keyring as module
from flask_state.core.keyring import Keyring
from flask_state.core.keyring import Opened
from flask_state.errors import ConfigurationError
from flask_state.errors import TamperedState
from flask_state.testing import FakeClock
from flask_state.web.keys import AppKeys

CURRENT: t.Final = b"the current secret of the tests"
OLD: t.Final = b"an old secret of the tests, gone"
OLDER: t.Final = b"an older secret of the tests, long gone"
SEALED: t.Final = bytes.fromhex(
    "01018c2f63b500005161000102030405060708090a0bf2f026da1c3a00f0961d12a7a260465306659ce0a8432f"
)
"""`payload` sealed for ``view-state`` and ``page`` on 2027-01-15 with the nonce 00 01 .. 0b."""


@pytest.fixture
def ring(clock: FakeClock) -> Keyring:
    """The current secret and an old one."""
    return Keyring([CURRENT, OLD], clock)


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869, sections 2.2 and 2.3, for one block."""
    extracted = hmac.digest(b"flask_state", secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


# Known answers: whoever changes one of these throws out all sessions and tokens there are.


def test_fingerprints_stay_what_they_were(ring: Keyring) -> None:
    assert [each.hex() for each in ring.fingerprints] == ["4865492a58a6fb65", "88e22d7913b47b3c"]


def test_proofs_stay_what_they_were(ring: Keyring) -> None:
    assert [each.hex() for each in ring.proofs("session-id", "a" * 36)] == [
        "228786fca17d19ce005ac68fa31525c7",
        "baba341e0a807d5a8ebb671ce46563f3",
    ]


def test_digests_stay_what_they_were(ring: Keyring) -> None:
    assert [each.hex() for each in ring.digests("session-renewal", b"text")] == [
        "6671126e9b75421c79067c528ef81b914ea3590b335b66cea3396407c5bd6d8b",
        "8917ced4bd3abe05326aacba18249551ead9cc99c9605ef70dcb545aab55c1e2",
    ]


def test_signatures_stay_what_they_were(ring: Keyring) -> None:
    signed = b"payload.7U-4cewPLhqlQB7U784Oi_vy_EFD7r7cajP8vJhhFzM"
    assert ring.sign("links", b"payload") == signed
    assert ring.unsign("links", signed) == Opened(b"payload", stale=False)


def test_seals_stay_what_they_were(ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "random_bytes", lambda length: bytes(range(length)))
    assert ring.seal("view-state", b"payload", b"page") == SEALED
    assert ring.open("view-state", SEALED, b"page") == Opened(b"payload", stale=False)


def test_keys_are_those_of_rfc_5869(ring: Keyring) -> None:
    """Computed here a second time, from the standard's text."""
    assert ring.fingerprints[0] == hkdf(CURRENT, b"fingerprint")[:8]
    proof = hashlib.blake2b(b"x", digest_size=16, key=hkdf(CURRENT, b"proof\0session-id"))
    assert ring.proofs("session-id", "x")[0] == proof.digest()
    expected = hmac.digest(hkdf(CURRENT, b"digest\0session-renewal"), b"text", hashlib.sha256)
    assert ring.digests("session-renewal", b"text")[0] == expected


# Rotation


def test_new_things_are_made_with_the_current_secret_only(ring: Keyring, clock: FakeClock) -> None:
    """S37."""
    alone = Keyring([CURRENT], clock)
    assert alone.unsign("a", ring.sign("a", b"x")).payload == b"x"
    assert alone.open("a", ring.seal("a", b"x")).payload == b"x"
    for old in (Keyring([OLD], clock), Keyring([OLD, OLDER], clock)):
        with pytest.raises(TamperedState):
            old.unsign("a", ring.sign("a", b"x"))
        with pytest.raises(TamperedState):
            old.open("a", ring.seal("a", b"x"))


@pytest.mark.parametrize("before", [[OLD], [OLDER, CURRENT], [OLD, CURRENT, OLDER]])
def test_what_an_old_secret_made_opens_and_is_stale(before: list[bytes], clock: FakeClock) -> None:
    made = Keyring(before, clock)
    ring = Keyring([CURRENT, OLD, OLDER], clock)
    assert ring.unsign("a", made.sign("a", b"x")) == Opened(b"x", stale=True)
    assert ring.open("a", made.seal("a", b"x", b"c"), b"c") == Opened(b"x", stale=True)


def test_what_a_dropped_secret_made_is_refused(ring: Keyring, clock: FakeClock) -> None:
    gone = Keyring([OLDER], clock)
    with pytest.raises(TamperedState, match="'a'"):
        ring.unsign("a", gone.sign("a", b"x"))
    with pytest.raises(TamperedState, match="'a'"):
        ring.open("a", gone.seal("a", b"x"))


def test_proofs_and_fingerprints_come_in_the_order_of_the_secrets(clock: FakeClock) -> None:
    ring = Keyring([CURRENT, OLD, OLDER], clock)
    singles = [Keyring([secret], clock) for secret in (CURRENT, OLD, OLDER)]
    assert ring.proofs("p", "x") == tuple(each.proofs("p", "x")[0] for each in singles)
    assert ring.digests("p", b"x") == tuple(each.digests("p", b"x")[0] for each in singles)
    assert ring.fingerprints == tuple(each.fingerprints[0] for each in singles)


# Separation


@pytest.mark.parametrize(
    ("purpose", "context"), [("b", b"c"), ("a", b"d"), ("a", b""), ("ac", b""), ("", b"ac")]
)
def test_a_seal_opens_for_its_purpose_and_context_only(
    ring: Keyring, purpose: str, context: bytes
) -> None:
    """S35: both are associated data."""
    with pytest.raises(TamperedState):
        ring.open(purpose, ring.seal("a", b"x", b"c"), context)


def test_purpose_and_context_cannot_lend_each_other_letters() -> None:
    pairs = [("ab", b"c"), ("a", b"bc"), ("", b"abc"), ("abc", b"")]
    assert len({module._associated(*pair) for pair in pairs}) == len(pairs)


def test_a_signature_holds_for_its_purpose_only(ring: Keyring) -> None:
    signed = ring.sign("a", b"x")
    for purpose in ("b", "", "a\0", "A"):
        with pytest.raises(TamperedState):
            ring.unsign(purpose, signed)


def test_no_two_uses_share_a_key(ring: Keyring) -> None:
    """What is public of one purpose, such as a fingerprint, tells nothing of another."""
    assert ring.proofs("a", "x") != ring.proofs("b", "x")
    assert ring.digests("a", b"x") != ring.digests("b", b"x")
    assert ring.proofs("a", "x")[0] not in ring.digests("a", b"x")[0]
    public = hmac.digest(hkdf(CURRENT, b"fingerprint"), b"x", hashlib.sha256)
    assert ring.digests("fingerprint", b"x")[0] != public


# Tampering


def test_a_seal_changed_in_any_bit_is_refused(ring: Keyring) -> None:
    """S34."""
    for index, bit in itertools.product(range(len(SEALED)), range(8)):
        changed = bytearray(SEALED)
        changed[index] ^= 1 << bit
        with pytest.raises(TamperedState):
            ring.open("view-state", bytes(changed), b"page")


def test_a_seal_that_was_cut_or_grown_is_refused(ring: Keyring) -> None:
    for length in range(len(SEALED)):
        with pytest.raises(TamperedState):
            ring.open("view-state", SEALED[:length], b"page")
        with pytest.raises(TamperedState):
            ring.open("view-state", SEALED[length:][::-1], b"page")
    with pytest.raises(TamperedState):
        ring.open("view-state", SEALED + b"\0", b"page")


def test_a_signature_changed_at_any_byte_is_refused(ring: Keyring) -> None:
    signed = ring.sign("a", b"payload")
    for index in range(len(signed)):
        for other in b"A.\0\xff":
            changed = signed[:index] + bytes([other]) + signed[index + 1 :]
            if changed != signed:
                with pytest.raises(TamperedState):
                    ring.unsign("a", changed)
        with pytest.raises(TamperedState):
            ring.unsign("a", signed[:index])


@given(st.binary(max_size=80))
def test_foreign_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    ring = Keyring([CURRENT], FakeClock())
    for attempt in (data, envelope.PLAIN + data, b"\x01\x01" + data, SEALED[:6] + data):
        with pytest.raises(TamperedState):
            ring.open("view-state", attempt)
    with pytest.raises(TamperedState):
        ring.unsign("view-state", data)


@pytest.mark.parametrize("flags", [0, 2, 3, 4, 255])
def test_what_is_not_sealed_is_never_taken_for_it(ring: Keyring, flags: int) -> None:
    """S34: no fall-back to something weaker."""
    for rest in (b"payload", SEALED[2:], SEALED[6:], ring.sign("view-state", b"payload")):
        with pytest.raises(TamperedState):
            ring.open("view-state", bytes([envelope.VERSION, flags]) + rest, b"page")


# Nonces and days


def test_a_nonce_never_comes_twice(ring: Keyring) -> None:
    """S35."""
    sealed = {ring.seal("a", b"the same") for _ in range(2_000)}
    assert len({each[10:22] for each in sealed}) == 2_000


def test_every_day_has_a_key_of_its_own_and_old_days_still_open(
    ring: Keyring, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "random_bytes", lambda length: b"n" * length)
    seals = []
    for _ in range(3):
        seals.append(ring.seal("a", b"payload"))
        clock.advance(86_400)
    assert len({each[22:] for each in seals}) == 3
    clock.advance(400 * 86_400)
    assert [ring.open("a", each).payload for each in seals] == [b"payload"] * 3


def test_the_day_can_not_be_changed(ring: Keyring, clock: FakeClock) -> None:
    one = ring.seal("a", b"payload")
    clock.advance(86_400)
    other = ring.seal("a", b"payload")
    with pytest.raises(TamperedState):
        ring.open("a", one[:6] + other[6:10] + one[10:])


# Secrets


@pytest.mark.parametrize("secrets", [[], [b""], [CURRENT, b""]])
def test_no_secret_or_an_empty_one_is_an_error(secrets: list[bytes]) -> None:
    with pytest.raises(ConfigurationError):
        Keyring(secrets)


def test_a_short_secret_is_told_without_showing_it(caplog: pytest.LogCaptureFixture) -> None:
    """S37."""
    Keyring([b"dev", CURRENT])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "1 of 2" in record.getMessage()
    assert "dev" not in record.getMessage()


def test_long_secrets_are_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    Keyring([CURRENT, OLD])
    assert caplog.records == []


def test_its_text_shows_nothing(ring: Keyring) -> None:
    """S73."""
    ring.proofs("a", "x")
    for text in (repr(ring), str(ring), f"{ring}"):
        assert "secret of the tests" not in text
        assert text == "<Keyring of 2>"


def test_errors_show_neither_secrets_nor_payload(ring: Keyring) -> None:
    for attempt in (ring.unsign, ring.open):
        with pytest.raises(TamperedState) as caught:
            attempt("a", b"payload.x")
        assert "payload" not in f"{caught.value} {caught.value.args} {caught.value.description}"
        assert "secret of" not in str(caught.value)


class TestAppKeys:
    """The keyring of an application, from Flask's two settings."""

    @pytest.fixture
    def app(self) -> flask.Flask:
        app = flask.Flask("keys")
        app.config["SECRET_KEY"] = CURRENT.decode()
        return app

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_the_newest_fallback_is_the_last_as_in_flask(
        self, app: flask.Flask, kind: type, clock: FakeClock
    ) -> None:
        """S37."""
        app.config["SECRET_KEY_FALLBACKS"] = kind([OLDER.decode(), OLD])
        expected = Keyring([CURRENT, OLD, OLDER], clock)
        assert AppKeys(app, clock)().fingerprints == expected.fingerprints

    def test_what_flask_signed_last_is_what_we_look_at_first(self, app: flask.Flask) -> None:
        """The same order as that of Flask's own serializer, which signs with the last key."""
        app.config["SECRET_KEY_FALLBACKS"] = [OLDER, OLD]
        serializer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert serializer is not None
        ours = AppKeys(app, FakeClock())()._secrets
        assert list(reversed(ours)) == serializer.secret_keys

    @pytest.mark.parametrize("fallbacks", ["an old secret", b"an old secret", {"a"}, 7, {"a": 1}])
    def test_fallbacks_that_are_no_list_are_an_error(
        self, app: flask.Flask, fallbacks: t.Any
    ) -> None:
        """S37: a text would be taken apart into keys of one letter."""
        app.config["SECRET_KEY_FALLBACKS"] = fallbacks
        with pytest.raises(ConfigurationError, match="SECRET_KEY_FALLBACKS must be a list") as e:
            AppKeys(app, FakeClock())()
        assert "an old secret" not in str(e.value)

    @pytest.mark.parametrize("fallbacks", [[""], [None], [b""], [7], ["good enough a key", ""]])
    def test_a_fallback_that_is_no_key_is_an_error(
        self, app: flask.Flask, fallbacks: list[t.Any]
    ) -> None:
        app.config["SECRET_KEY_FALLBACKS"] = fallbacks
        with pytest.raises(ConfigurationError):
            AppKeys(app, FakeClock())()

    @pytest.mark.parametrize("secret", [None, "", b"", 7, ["a"]])
    def test_a_secret_that_is_no_key_is_an_error(self, app: flask.Flask, secret: t.Any) -> None:
        app.config["SECRET_KEY"] = secret
        with pytest.raises(ConfigurationError):
            AppKeys(app, FakeClock())()

    @pytest.mark.parametrize("fallbacks", [None, [], (), [OLD], (OLD,)])
    def test_the_ring_is_made_once_for_the_same_secrets(
        self, app: flask.Flask, fallbacks: t.Any
    ) -> None:
        app.config["SECRET_KEY_FALLBACKS"] = fallbacks
        keys = AppKeys(app, FakeClock())
        assert keys() is keys()

    def test_a_change_of_secrets_is_noticed(self, app: flask.Flask) -> None:
        keys = AppKeys(app, FakeClock())
        first = keys()
        app.config["SECRET_KEY"] = OLD
        second = keys()
        fallbacks: list[bytes] = []
        app.config["SECRET_KEY_FALLBACKS"] = fallbacks
        fallbacks.append(CURRENT)
        third = keys()
        assert first.fingerprints + second.fingerprints == third.fingerprints[::-1]

    def test_text_and_bytes_of_a_secret_are_one(self, app: flask.Flask) -> None:
        keys = AppKeys(app, FakeClock())
        before = keys().fingerprints
        app.config["SECRET_KEY"] = CURRENT
        assert keys().fingerprints == before

    def test_it_keeps_no_application_alive(self) -> None:
        app = flask.Flask("short lived")
        app.config["SECRET_KEY"] = CURRENT
        reference, keys = weakref.ref(app), AppKeys(app, FakeClock())
        keys()
        del app
        gc.collect()
        assert reference() is None
