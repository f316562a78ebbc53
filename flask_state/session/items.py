"""From a record's items to their values, for those who look at it from outside of a request."""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

from ..core import envelope
from ..core.codec import Codec
from ..errors import SerializationError
from ..stores.base import Item

logger: logging.Logger = logging.getLogger("flask_state.session")


def readable_values(codec: Codec, handle: str, items: cabc.Mapping[str, Item]) -> dict[str, t.Any]:
    """The values of a record's items, in order of insertion.

    One that can't be read, because it is damaged, or of a type or a version that this process
    doesn't know, is left out with a line in the log.

    :param handle: whose items they are, for the log.
    """
    values = {}
    for name in sorted(items, key=lambda name: items[name].position):
        value = items[name].value
        try:
            if value[:2] != envelope.PLAIN:
                raise SerializationError("it was written by another version of flask_state")
            values[name] = codec.loads(value[2:])
        except SerializationError as error:
            logger.warning("Item %r of session %s is left out: %s", name, handle, error)
    return values
