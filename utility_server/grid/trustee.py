# SPDX-License-Identifier: Apache-2.0
"""The second holder of a split Paillier key: helps to open sums, and nothing else.

    halves round ciphertexts contribution ...          ->   halves data
    dispute round contributors contribution, points ...   (as many of each)
    part round-digest places                           ->   halves data

It believes nobody: the operator must have signed the round, an authority vouch for every member,
and the ciphertexts be the product of the signed contributions of a group that is large enough
(`protocols.aggregation.trusteeship`). Of one round it helps to open one product only; but once all
of its contributors have signed that they dispute the sum, also the product over any part of them.
Its share alone opens nothing, and it learns no sum.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocols.aggregation import (
    AggregationError,
    Contribution,
    Contributors,
    KeyRefused,
    KeyShare,
    PairPoints,
    Round,
    RoundRefused,
    require_dispute,
    require_sum,
)
from utility_server.errors import StoreError
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.rpc import Message
from utility_server.keys import read_secret

MOST_REMEMBERED: Final = 100_000
MOST_DISPUTES: Final = 4
"""At a time: their ciphertexts are kept, some 30 kB a household for a month of quarter-hours."""
_PLACE_SIZE: Final = 2


@dataclass(slots=True)
class Trustee:
    """A share, and the conditions under which it is used."""

    share: KeyShare = field(repr=False)
    operator: bytes
    """The Ed25519 key whose rounds it helps to open."""
    authorities: tuple[bytes, ...]
    smallest_group: int
    _opened: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict, repr=False)
    """Of each round, what was opened."""
    _disputed: OrderedDict[bytes, list[list[int]]] = field(default_factory=OrderedDict, repr=False)
    """Of each disputed round, the contributors' ciphertexts."""
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)

    @classmethod
    def open(
        cls, share: Path, operator: bytes, authorities: tuple[bytes, ...], smallest_group: int
    ) -> "Trustee":
        """Read the share from its file; raise `StoreError` if it is none or open to others."""
        try:
            return cls(KeyShare.decode(read_secret(share)), operator, authorities, smallest_group)
        except KeyRefused as error:
            raise StoreError(f"{share}: {error}") from None

    async def answer(self, request: Message) -> AsyncGenerator[Message, None]:
        """Yield this half of a decryption; raise `ConcentratorRefused` for what is no sum."""
        try:
            match request:
                case "halves", (bytes(announcement), bytes(ciphertexts), *contributions):
                    yield "halves", (self._halves(announcement, ciphertexts, contributions),)
                case "dispute", (bytes(announcement), bytes(contributors), *evidence):
                    self._dispute(announcement, contributors, evidence)
                case "part", (bytes(about), bytes(places)):
                    yield "halves", (self._part(about, places),)
                case name, _:
                    raise ConcentratorRefused(f"no such request: {name[:40]}")
        except (AggregationError, ValueError) as error:
            raise ConcentratorRefused(str(error)) from None

    def _round(self, announcement: bytes) -> Round:
        announced = Round.decode(announcement)
        if not announced.is_by(self.operator) or announced.terms.key != self.share.public_key:
            raise RoundRefused("not a round of this operator under this key")
        for member in announced.members:
            member.verify(self.authorities)
        return announced

    def _halves(self, announcement: bytes, data: bytes, contributions: Sequence[object]) -> bytes:
        announced = self._round(announcement)
        size = self.share.public_key.ciphertext_size
        if not data or len(data) % size:
            raise RoundRefused("not a row of ciphertexts")
        ciphertexts = [
            int.from_bytes(data[at : at + size], "big") for at in range(0, len(data), size)
        ]
        parts = [Contribution.decode(part) for part in contributions if isinstance(part, bytes)]
        require_sum(announced, ciphertexts, parts, self.smallest_group)
        digest = hashlib.sha256(data).digest()
        if self._opened.setdefault(announced.digest, digest) != digest:
            raise RoundRefused("another sum of this round was opened already")
        while len(self._opened) > MOST_REMEMBERED:
            self._opened.popitem(last=False)
        return self._apply(ciphertexts)

    def _dispute(
        self, announcement: bytes, contributors: bytes, evidence: Sequence[object]
    ) -> None:
        announced, listed = self._round(announcement), Contributors.decode(contributors)
        parts = [part for part in evidence if isinstance(part, bytes)]
        count = len(listed.indexes)
        self._disputed[announced.digest] = require_dispute(
            announced,
            listed,
            [Contribution.decode(part) for part in parts[:count]],
            [PairPoints.decode(part) for part in parts[count:]],
            self.smallest_group,
        )
        while len(self._disputed) > MOST_DISPUTES:
            self._disputed.popitem(last=False)

    def _part(self, about: bytes, data: bytes) -> bytes:
        rows = self._disputed.get(about)
        if rows is None:
            raise RoundRefused("no dispute about that round")
        starts = range(0, len(data), _PLACE_SIZE)
        places = [int.from_bytes(data[at : at + _PLACE_SIZE], "big") for at in starts]
        if len(data) % _PLACE_SIZE or not places or places != sorted(set(places)):
            raise RoundRefused("not places of contributors, in order")
        if places[-1] >= len(rows):
            raise RoundRefused(f"place {places[-1]} of {len(rows)} contributors")
        key = self.share.public_key
        return self._apply(key.product([rows[place] for place in places]))

    def _apply(self, ciphertexts: Sequence[int]) -> bytes:
        halves = self.share.halves(ciphertexts, self.randomness)
        return halves.encode(self.share.public_key)
