# SPDX-License-Identifier: Apache-2.0
"""The second holder of a split Paillier key: helps to open sums, and nothing else.

    halves round ciphertexts contribution ...   ->   halves data

It believes nobody: the operator must have signed the round, an authority vouch for every member,
and the ciphertexts be the product of the signed contributions of a group that is large enough
(`protocols.aggregation.split`). Of one round it helps to open one product only. Its share alone
opens nothing, and it learns no sum.
"""

import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocols.aggregation import (
    AggregationError,
    Contribution,
    KeyRefused,
    KeyShare,
    Round,
    RoundRefused,
    require_sum,
)
from utility_server.concentrator.errors import ConcentratorRefused
from utility_server.concentrator.lines import Message
from utility_server.errors import StoreError
from utility_server.keys import read_secret

__all__ = ["Trustee"]

MOST_REMEMBERED: Final = 100_000


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
        match request:
            case "halves", (bytes(announcement), bytes(ciphertexts), *contributions):
                try:
                    yield "halves", (self._halves(announcement, ciphertexts, contributions),)
                except (AggregationError, ValueError) as error:
                    raise ConcentratorRefused(str(error)) from None
            case name, _:
                raise ConcentratorRefused(f"no such request: {name[:40]}")

    def _halves(self, announcement: bytes, data: bytes, contributions: Sequence[object]) -> bytes:
        announced = Round.decode(announcement)
        key = self.share.public_key
        if not announced.is_by(self.operator) or announced.terms.key != key:
            raise RoundRefused("not a round of this operator under this key")
        for member in announced.members:
            member.verify(self.authorities)
        size = key.ciphertext_size
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
        return b"".join(int(half).to_bytes(size, "big") for half in self.share.apply(ciphertexts))
