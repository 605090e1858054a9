# SPDX-License-Identifier: Apache-2.0
"""The second holder of a split Paillier key: helps to open sums, and nothing else.

    halves round ciphertexts contribution ...          ->   halves data
    dispute round contributors contribution, points ...   (as many of each)
    part round-digest places                           ->   halves data

It believes nobody: the operator must have signed the round, an authority vouch for every member,
and the ciphertexts be the product of the signed contributions of a group that is large enough
(`protocols.aggregation.trusteeship`). Of one round it helps to open one product only; but once all
of its contributors have signed that they dispute the sum, also the product over any part of them.
What it has opened it remembers until the round is over; of a round that is over it opens nothing.
Its share alone opens nothing, and it learns no sum.
"""

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.aggregation.errors import AggregationError, KeyRefused, RoundRefused
from protocols.aggregation.messages import Contribution, Contributors, PairPoints
from protocols.aggregation.round import Round
from protocols.aggregation.rules import LONGEST_ROUND
from protocols.aggregation.split_key import KeyShare
from protocols.aggregation.trusteeship import require_dispute, require_sum
from utility_server.errors import StoreError
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.rpc import Message
from utility_server.keys import read_secret

MOST_REMEMBERED: Final = 100_000
"""Rounds that are open at a time; then no other is helped with until one of them is over."""
MOST_DISPUTES: Final = 4
"""At a time: their ciphertexts are kept, some 30 kB a household for a month of quarter-hours."""
_PLACE_SIZE: Final = 2
_SEED_SIZE: Final = 32


@dataclass(slots=True)
class Trustee:
    """A share, and the conditions under which it is used."""

    share: KeyShare = field(repr=False)
    operator: bytes
    """The Ed25519 key whose rounds it helps to open."""
    authorities: tuple[bytes, ...]
    smallest_group: int
    now: Callable[[], int] = lambda: int(time.time())
    _opened: dict[bytes, tuple[bytes, int]] = field(default_factory=dict, repr=False)
    """Of each open round, what was opened, and when the round ends."""
    _disputed: OrderedDict[bytes, list[list[int]]] = field(default_factory=OrderedDict, repr=False)
    """Of each disputed round, the contributors' ciphertexts."""
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """Requests are computed one after the other, in the order they came in."""

    @classmethod
    def open(
        cls, share: Path, operator: bytes, authorities: tuple[bytes, ...], smallest_group: int
    ) -> "Trustee":
        """Read the share from its file; raise `StoreError` if it is none or open to others."""
        try:
            return cls(KeyShare.decode(read_secret(share)), operator, authorities, smallest_group)
        except KeyRefused as error:
            raise StoreError(f"{share}: {error}") from None

    @property
    def line_key(self) -> Ed25519PrivateKey:
        """What it proves with on a line that it is who holds the share."""
        derived = HKDF(SHA256(), _SEED_SIZE, None, b"meterlet trustee line 2")
        return Ed25519PrivateKey.from_private_bytes(derived.derive(self.share.encode()))

    async def answer(self, request: Message) -> AsyncGenerator[Message, None]:
        """Yield this half of a decryption; raise `ConcentratorRefused` for what is no sum."""
        async with self._turn:
            # What takes seconds keeps no line from being answered meanwhile.
            half = await asyncio.to_thread(self._half, request)
        if half is not None:
            yield "halves", (half,)

    def _half(self, request: Message) -> bytes | None:
        try:
            match request:
                case "halves", (bytes(announcement), bytes(ciphertexts), *contributions):
                    return self._part_of_sum(announcement, ciphertexts, contributions)
                case "dispute", (bytes(announcement), bytes(contributors), *evidence):
                    self._dispute(announcement, contributors, evidence)
                    return None
                case "part", (bytes(about), bytes(places)):
                    return self._part_of_dispute(about, places)
                case name, _:
                    raise ConcentratorRefused(f"no such request: {name[:40]}")
        except (AggregationError, ValueError) as error:
            raise ConcentratorRefused(str(error)) from None

    def _round(self, announcement: bytes) -> Round:
        announced = Round.decode(announcement)
        if not announced.is_by(self.operator) or announced.terms.key != self.share.public_key:
            raise RoundRefused("not a round of this operator under this key")
        if not self.now() < announced.valid_until <= self.now() + LONGEST_ROUND:
            raise RoundRefused("the round is over, or ends too late")
        for member in announced.members:
            member.verify(self.authorities)
        return announced

    def _part_of_sum(
        self, announcement: bytes, data: bytes, contributions: Sequence[object]
    ) -> bytes:
        announced = self._round(announcement)
        ciphertexts = self.share.public_key.decode_ciphertexts(data)
        if not ciphertexts:
            raise RoundRefused("not a row of ciphertexts")
        parts = [Contribution.decode(part) for part in contributions if isinstance(part, bytes)]
        require_sum(announced, ciphertexts, parts, self.smallest_group)
        self._remember(announced, hashlib.sha256(data).digest())
        return self._apply(ciphertexts)

    def _remember(self, announced: Round, product: bytes) -> None:
        """Note which product of a round is opened; raise `RoundRefused` for a second one."""
        now = self.now()
        for about, (_, ends) in list(self._opened.items()):
            if ends <= now:
                del self._opened[about]
        # Nothing that is open gives way: whoever announces many rounds could have it forgotten.
        if announced.digest not in self._opened and len(self._opened) >= MOST_REMEMBERED:
            raise RoundRefused(f"{MOST_REMEMBERED} rounds are open: no room for another")
        made = self._opened.setdefault(announced.digest, (product, announced.valid_until))
        if made[0] != product:
            raise RoundRefused("another sum of this round was opened already")

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

    def _part_of_dispute(self, about: bytes, data: bytes) -> bytes:
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
        decryption = self.share.partially_decrypt(ciphertexts, self.randomness)
        return decryption.encode(self.share.public_key)
