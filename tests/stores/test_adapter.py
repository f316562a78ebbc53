"""Sessions in any byte store."""

from __future__ import annotations

from flask_state.core.clock import Clock
from flask_state.stores.adapter import ByteSessionStore
from flask_state.stores.memory.bytes import MemoryByteStore
from flask_state.testing import SessionStoreContract


class TestContract(SessionStoreContract):
    def make_store(self, clock: Clock) -> ByteSessionStore:
        return ByteSessionStore(MemoryByteStore(clock=clock), clock=clock)
