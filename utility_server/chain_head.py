# SPDX-License-Identifier: Apache-2.0
"""The end of a chain of entries, as somebody else has noted it: `NUMBER:DIGEST`.

A chain without a key tells whoever has nothing but the chain that it is in itself whole. Whoever
has noted one of its ends can tell that nothing up to there was changed or cut off since. What came
after that end he cannot tell.
"""

import hmac
import re
from dataclasses import dataclass
from typing import Final, Self

from utility_server.errors import LedgerTampered

_FORM: Final = re.compile("(0|[1-9][0-9]{0,17}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How many entries there were, and the digest of the last one."""

    entries: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.entries}:{self.digest.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` has written; raise `ValueError` for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("a chain's end is NUMBER:DIGEST, the digest in 64 small hex digits")
        return cls(int(found[1]), bytes.fromhex(found[2]))

    def require(self, chain: str, number: int, digest: bytes) -> None:
        """Raise `LedgerTampered` if entry `number` is the one of this end, with another digest."""
        if number == self.entries and not hmac.compare_digest(digest, self.digest):
            raise LedgerTampered(f"{chain}: entry {number} is another than the one that was noted")

    def require_reached(self, chain: str, entries: int) -> None:
        """Raise `LedgerTampered` if the chain has fewer entries than this end had."""
        if entries < self.entries:
            raise LedgerTampered(
                f"{chain}: it ends with entry {entries}, and entry {self.entries} was noted"
            )
