"""Keys made from the application's secrets: one per purpose, the current secret first.

Derivation is HKDF-SHA256 (RFC 5869). Encryption is AES-256-GCM under a subkey per purpose and
day, so that random nonces stay far below the 2**32 messages per key of NIST SP 800-38D, 8.3.
Signatures are itsdangerous'. What an old secret made still opens; new things are made with the
current one only, and `stale` says when to make a thing again.
"""

from __future__ import annotations

import collections.abc as cabc
import functools
import hashlib
import hmac
import logging
import typing as t
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadSignature
from itsdangerous import Signer

from ..errors import ConfigurationError
from ..errors import TamperedState
from . import envelope
from .clock import Clock
from .clock import SystemClock
from .tokens import random_bytes

logger: logging.Logger = logging.getLogger("flask_state")

MIN_SECRET_BYTES: t.Final = 16
PROOF_BYTES: t.Final = 16
_DAY = 86_400
_NONCE_BYTES = 12
_DAY_BYTES = 4


class Opened(t.NamedTuple):
    """What a seal or a signature protected."""

    payload: bytes
    stale: bool
    """It was made under an old secret: make it again."""


class Keyring:
    """The keys of one set of secrets. Immutable; safe to share between threads.

    :param secrets: the current secret, then old ones that still open.
    :param clock: tells the day of issue.
    :raise ConfigurationError: where there is no secret.
    """

    def __init__(self, secrets: cabc.Sequence[bytes], clock: Clock | None = None) -> None:
        if not secrets or not all(secrets):
            raise ConfigurationError("a keyring needs a secret, and no secret may be empty")
        self._secrets = tuple(secrets)
        self._clock = clock or SystemClock()
        self._key = functools.lru_cache(maxsize=256)(_derive)
        self._proof_keys: dict[str, list[bytes]] = {}
        self._ids = tuple(self._key(s, b"key-id")[: envelope.KEY_ID_BYTES] for s in secrets)
        short = sum(len(secret) < MIN_SECRET_BYTES for secret in secrets)
        if short:
            logger.warning(
                "%d of %d secret keys are shorter than %d bytes. Make one with: "
                "python -c 'import secrets; print(secrets.token_hex())'",
                short,
                len(secrets),
                MIN_SECRET_BYTES,
            )

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._secrets)}>"

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """A public name of each secret, the current one first: 8 bytes that reveal nothing."""
        return tuple(self._key(secret, b"fingerprint")[:8] for secret in self._secrets)

    def proofs(self, purpose: str, text: str) -> tuple[bytes, ...]:
        """Keyed hashes of a text, under the current secret first: `PROOF_BYTES` each."""
        keys = self._proof_keys.get(purpose)
        if keys is None:
            info = b"proof\0" + purpose.encode()
            keys = self._proof_keys[purpose] = [self._key(s, info) for s in self._secrets]
        data = text.encode()
        # Keyed BLAKE2b (RFC 7693) is a MAC by itself, at a third of the cost of HMAC-SHA256.
        return tuple([blake2b(data, digest_size=PROOF_BYTES, key=key).digest() for key in keys])

    def digests(self, purpose: str, data: bytes) -> tuple[bytes, ...]:
        """Whole keyed hashes of 32 bytes, under the current secret first, to derive things from."""
        info = b"digest\0" + purpose.encode()
        return tuple(
            hmac.digest(self._key(secret, info), data, hashlib.sha256) for secret in self._secrets
        )

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """The payload and its signature, readable by everyone, changeable by nobody."""
        return self._signer(purpose, self._secrets[:1]).sign(payload)

    def unsign(self, purpose: str, signed: bytes) -> Opened:
        """The payload of something signed for this purpose.

        :raise TamperedState: where no secret's signature fits.
        """
        for index in range(len(self._secrets)):
            signer = self._signer(purpose, self._secrets[index : index + 1])
            try:
                return Opened(signer.unsign(signed), index > 0)
            except BadSignature:
                continue
        raise TamperedState(f"the signature for {purpose!r} fits none of the secrets")

    def seal(self, purpose: str, payload: bytes, context: bytes = b"") -> bytes:
        """Encrypt a payload.

        :param context: must be the same to open it: whose it is, or what it belongs to.
        """
        day = int(self._clock.time() // _DAY).to_bytes(_DAY_BYTES, "big")
        nonce = random_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._key(self._secrets[0], _day_purpose(purpose, day)))
        sealed = cipher.encrypt(nonce, payload, _associated(purpose, context))
        return envelope.wrap(day + nonce + sealed, envelope.SEALED, self._ids[0])

    def open(self, purpose: str, sealed: bytes, context: bytes = b"") -> Opened:
        """Decrypt what `seal` made for the same purpose and context.

        :raise TamperedState: where it was changed, or made otherwise or elsewhere. That is
            final: no other format is tried.
        """
        opened = envelope.unwrap(sealed)
        if opened is not None and opened.flags == envelope.SEALED:
            day, rest = opened.payload[:_DAY_BYTES], opened.payload[_DAY_BYTES:]
            nonce, text = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
            for index, secret in enumerate(self._secrets):
                if self._ids[index] != opened.key_id or len(nonce) != _NONCE_BYTES:
                    continue
                cipher = AESGCM(self._key(secret, _day_purpose(purpose, day)))
                try:
                    payload = cipher.decrypt(nonce, text, _associated(purpose, context))
                except InvalidTag:
                    continue
                return Opened(payload, index > 0)
        raise TamperedState(f"the seal for {purpose!r} doesn't hold")

    def _signer(self, purpose: str, secrets: cabc.Sequence[bytes]) -> Signer:
        info = b"sign\0" + purpose.encode()
        return Signer(
            [self._key(secret, info) for secret in secrets],
            salt=b"flask_state",
            key_derivation="none",
            digest_method=hashlib.sha256,
        )


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), length=32, salt=b"flask_state", info=info).derive(secret)


def _day_purpose(purpose: str, day: bytes) -> bytes:
    return b"seal\0" + day + purpose.encode()


def _associated(purpose: str, context: bytes) -> bytes:
    """Both parts, with the length of the first, so that no two pairs share their bytes."""
    name = purpose.encode()
    return len(name).to_bytes(4, "big") + name + context
