# SPDX-License-Identifier: Apache-2.0
"""The whole ledger verified again, in parts, on as many processors as there are.

    this process   reads the ledger in order, checks its chain, and cuts it into parts
    each part      its entries are read again, chained from the digest before them to the one that
                   this process has seen, and verified from their evidence (`retail.audit`)

How far it has come can be kept in a file. Who goes on from there verifies no evidence twice; the
chain is checked from the beginning again, and must hold the very entry that the file names. The
file is believed: who could change it could leave evidence unverified, so begin anew without one
where that matters.

Errors: LedgerTampered, VerificationFailed, CannotVerify, FanOutFailed, StoreError
"""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from protocols.canonical.foreign_text import read_json
from protocols.canonical.hash_chain import GENESIS
from utility_server.durable import replace_file
from utility_server.errors import LedgerTampered, StoreError, UtilityError
from utility_server.fan_out import FanOut
from utility_server.retail.audit import verified_entries
from utility_server.retail.carried_states import EnteredChains
from utility_server.retail.ledger import Ledger, LedgerEntry
from utility_server.retail.opened import close_opened, opened
from utility_server.retail.utility import Utility

PART: Final = 64
"""Entries: as many as are verified at once."""
FORMAT: Final = "meterlet audit 1"
_DIGEST_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """Entries in a row, and between which digests of the chain they stand."""

    first: int
    last: int
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """Up to which entry the evidence was verified."""

    checked: int = 0
    digest: bytes = GENESIS

    def write(self, path: Path) -> None:
        """Put it in a file, which is there as a whole or as it was."""
        content = {"format": FORMAT, "checked": self.checked, "digest": self.digest.hex()}
        replace_file(path, json.dumps(content).encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> "AuditProgress":
        """Return what is in a file, the beginning where there is none; raise `StoreError`."""
        try:
            content = read_json(path.read_text())
        except FileNotFoundError:
            return cls()
        except ValueError:
            content = None
        match content:
            case {"format": "meterlet audit 1", "checked": int(checked), "digest": str(digest)} if (
                len(content) == 3 and checked > 0 and not isinstance(checked, bool)
            ):
                try:
                    found = bytes.fromhex(digest)
                except ValueError:
                    found = b""
                if len(found) == _DIGEST_SIZE:
                    return cls(checked, found)
        raise StoreError(f"{path}: it does not say how far an audit has come")


BEGINNING: Final = AuditProgress()


def audit(
    utility: Utility,
    how: FanOut,
    progress: AuditProgress = BEGINNING,
    told: Callable[[AuditProgress], object] = lambda _progress: None,
) -> AuditProgress:
    """Verify the ledger, its evidence from where `progress` stands; return where it ends.

    `told` is told after each part. Raises at the first entry that is wrong, in the ledger's order.
    """
    ledger = _Reading(utility, progress)
    try:
        with (
            closing(ledger.parts()) as parts,
            closing(how.run(partial(check_part, utility.folder), parts)) as results,
        ):
            for part in results:
                progress = AuditProgress(part.last, part.after)
                told(progress)
    finally:
        close_opened()
    if ledger.wrong is not None:
        raise ledger.wrong
    ledger.chains.require(utility.carried_states)
    return progress


def check_part(folder: Path, part: LedgerPart) -> LedgerPart:
    """Verify a part of the ledger of the utility in a folder, from the evidence; return it."""
    utility = opened(folder)
    entries = utility.ledger.after(part.first - 1, part.last - part.first + 1)
    for _ in verified_entries(utility, _chained(part, entries)):
        pass
    return part


def _chained(part: LedgerPart, entries: list[LedgerEntry]) -> Iterator[LedgerEntry]:
    """Yield a part's entries if they are those that were seen when it was cut."""
    digest = part.before
    for number, entry in enumerate(entries, part.first):
        digest = Ledger.sealed(digest, entry)
        if entry.sequence != number or digest != entry.digest:
            raise LedgerTampered(f"ledger: entry {number} is not what was written")
        yield entry
    if len(entries) != part.last - part.first + 1 or digest != part.after:
        raise LedgerTampered(f"ledger: entry {part.last} has changed meanwhile")


@dataclass(slots=True)
class _Reading:
    """Reads the ledger from its beginning, and cuts what was not verified yet into parts."""

    utility: Utility
    progress: AuditProgress
    chains: EnteredChains = field(default_factory=EnteredChains)
    wrong: UtilityError | None = None
    """Why it ended before the ledger did; what is before that is verified first."""

    def parts(self) -> Generator[LedgerPart, None, None]:
        """Yield the parts behind where the audit stands."""
        first, last = self.progress.checked + 1, self.progress.checked
        before = after = self.progress.digest
        with closing(self._entries()) as entries:
            for entry in entries:
                last, after = entry.sequence, entry.digest
                if last - first + 1 == PART:
                    yield LedgerPart(first, last, before, after)
                    first, before = last + 1, after
        if last >= first:
            yield LedgerPart(first, last, before, after)

    def _entries(self) -> Generator[LedgerEntry, None, None]:
        checked, number = self.progress.checked, 0
        try:
            with closing(self.utility.ledger.entries()) as entries:
                for entry in entries:
                    self.chains.add(entry)
                    number = entry.sequence
                    if number == checked and entry.digest != self.progress.digest:
                        raise LedgerTampered(
                            f"ledger: entry {number} is not the one that was audited"
                        )
                    if number > checked:
                        yield entry
            if number < checked:
                raise LedgerTampered(f"ledger: entry {checked}, which was audited, is missing")
        except UtilityError as error:
            self.wrong = error
