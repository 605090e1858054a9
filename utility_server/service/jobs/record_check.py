# SPDX-License-Identifier: Apache-2.0
"""A check of all that is on record: the ledger's chain and every entry again, and the audit log.

It goes on from where it stands, entry by entry, after a restart too. What is wrong is in the run's
result, and the check goes on behind it where it can. Whoever has noted an end of the ledger or of
the audit log has it looked for: then a chain that was cut off, or written anew, is found, too.
"""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.canonical.hash_chain import GENESIS
from utility_server.chain_head import ChainHead
from utility_server.errors import LedgerTampered, UtilityError, kind_of
from utility_server.retail.audit import verified_entries
from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.utility import Utility
from utility_server.service.access.audit import AuditLog
from utility_server.service.jobs.bill_run import Slice
from utility_server.service.jobs.store import Job

KIND: Final = "record-check"
SLICE: Final = 50
MOST_FAULTS: Final = 100


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """Works on checks."""

    utility: Utility
    audit: AuditLog
    now: Callable[[], int] = field(repr=False)

    def work(self, job: Job, is_cancelled: Callable[[], bool]) -> Slice:
        """Check some more entries, unless the run is cancelled."""
        result: dict[str, Any] = {"checked": 0, "digest": GENESIS, "faults": [], **job.result}
        faults: list[list[Any]] = [list(one) for one in result["faults"]]
        last = self.utility.ledger.last()
        result["entries"] = 0 if last is None else last.sequence
        at, previous = int(result["checked"]), bytes(result["digest"])
        whole = list[LedgerEntry]()
        entries = [] if is_cancelled() else self.utility.ledger.after(at, SLICE)
        for entry in entries:
            if entry.sequence != at + 1:
                faults.append([at + 1, "ledger-tampered", "the entry is missing"])
            elif not hmac.compare_digest(self.utility.ledger.sealed(previous, entry), entry.digest):
                faults.append([entry.sequence, "ledger-tampered", "it is not what was written"])
            else:
                whole.append(entry)
            at, previous = entry.sequence, entry.digest
        faults = sorted([*faults, *self._wrong(whole)], key=lambda one: int(one[0]))
        result |= {"checked": at, "digest": previous, "faults": faults[:MOST_FAULTS]}
        total = result["entries"]
        if at < total and len(faults) < MOST_FAULTS:
            return Slice(at, total, result, self.now())
        noted = _noted(job, "ledger")
        if noted is not None:
            try:
                self.utility.ledger.require_noted(noted)
            except LedgerTampered as error:
                faults.append([noted.entries, kind_of(error), str(error)])
                result["faults"] = faults[:MOST_FAULTS]
        result["audit_entries"], result["audit"] = self._audit(_noted(job, "audit"))
        result["verified"] = not faults and not result["audit"]
        return Slice(at, total, result, None)

    def _wrong(self, entries: list[LedgerEntry]) -> Iterator[list[Any]]:
        """Yield what is wrong with entries, verified at once; behind a wrong one it goes on."""
        while entries:
            done = 0
            try:
                for _ in verified_entries(self.utility, entries):
                    done += 1
            except UtilityError as error:
                yield [entries[done].sequence, kind_of(error), str(error)[:300]]
            entries = entries[done + 1 :]

    def cancel(self, job: Job) -> Slice:
        """End a check where it stands."""
        return Slice(job.done, job.total, job.result, None)

    def _audit(self, noted: ChainHead | None) -> tuple[int, str]:
        """Return how many entries the audit log has, and what is wrong with it, if anything."""
        number = 0
        try:
            for entry in self.audit.entries(noted):
                number = entry.sequence
        except LedgerTampered as error:
            return number, str(error)
        return number, ""


def parameters(ledger: str | None, audit: str | None) -> dict[str, Any]:
    """Return what a check is to be told: ends of the chains, as they were noted."""
    return {"ledger": ledger or "", "audit": audit or ""}


def _noted(job: Job, chain: str) -> ChainHead | None:
    text = job.parameters.get(chain, "")
    return ChainHead.parse(text) if text else None
