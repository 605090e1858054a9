# SPDX-License-Identifier: Apache-2.0
"""The random scalars of a prover.

They come from a seed that the caller draws, mixed with the transcript and the secrets they are to
hide: even a seed that is used twice, or is not random, does not give two statements the same
scalars (hedged, as in RFC 8032 and BIP 340).
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from protocols.proofs.group import ORDER
from protocols.proofs.pedersen import derive_blindings
from protocols.proofs.transcript import Transcript

SEED_SIZE: Final = 32


class Nonces:
    """A stream of scalars, each uniform in [1, order) to all who lack the seed."""

    __slots__ = ("_counter", "_secret")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a seed has {SEED_SIZE} bytes, not {len(seed)}")
        self._secret, self._counter = seed, 0

    def draw(self, transcript: Transcript, secrets: Iterable[int], count: int) -> list[int]:
        """Return `count` scalars for the next message of `transcript` about `secrets`."""
        said = hashlib.sha256(",".join(map(str, secrets)).encode()).digest()
        context = transcript.digest() + said + self._counter.to_bytes(8, "big")
        self._counter += 1
        return [scalar or 1 for scalar in derive_blindings(self._secret, context, count)]


def combine(scalars: Iterable[int], base: int) -> int:
    """Return Σ base^i · scalars[i] modulo the order (Horner, last first)."""
    total = 0
    for scalar in reversed(list(scalars)):
        total = (total * base + scalar) % ORDER
    return total
