"""Who sees which arm, and how the coins of an interleaved list fall: by a keyed hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count

from nudge_sync.base.arrays import Float32

_HASH_BYTES = 8


def draw(key: str, unit: str) -> float:
    """Return a number in [0, 1), evenly spread over units and always the same for one.

    key: the experiment's own, in hexadecimal: another key draws other units. unit: the name of a
    session or a client. BLAKE2b with 64 bits, keyed.
    """
    return int.from_bytes(_hash(key, b"unit", unit.encode("utf-8", "surrogatepass"))) / 2**64


def is_chosen(key: str, unit: str, share: float) -> bool:
    """Return whether a unit is among the `share` of all that an experiment chooses."""
    return draw(key, unit) < share


def toss_coins(key: str, unit: str, query: Float32) -> Iterator[bool]:
    """Yield fair coins without end, the same ones whenever this unit asks this query again."""
    seed = unit.encode("utf-8", "surrogatepass") + b"\0" + query.tobytes()
    for number in count():
        for byte in _hash(key, b"coins", number.to_bytes(4) + seed):
            for bit in range(8):
                yield bool(byte >> bit & 1)


def _hash(key: str, purpose: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(
        content, digest_size=_HASH_BYTES, key=bytes.fromhex(key), person=purpose
    ).digest()
