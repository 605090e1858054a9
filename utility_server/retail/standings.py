# SPDX-License-Identifier: Apache-2.0
"""Which invoices stand, and which are void: whoever shows an invoice says so.

An invoice is void once another for just the same period has replaced it. Under a tariff with memory
the later bills of its account are void with it, since they went on from a state that is gone: they
have to be asked for again. What was signed stays as it was signed.

Errors: StoreError, LedgerTampered
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Engine

from utility_server.retail.carried_states import CarriedStates
from utility_server.retail.ledger import Ledger, LedgerEntry


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of an invoice."""

    begin: int
    end: int
    replaces: int = 0
    """The number of the invoice whose place it took; 0: of none."""
    replaced_by: int = 0
    """The number of the one that took its place; 0: none did."""
    is_cut_off: bool = False
    """Whether its bill went on from one that was replaced since, and nothing has replaced it."""

    @property
    def is_void(self) -> bool:
        """Whether nothing is to be paid by it."""
        return bool(self.replaced_by) or self.is_cut_off

    @property
    def why_void(self) -> str:
        """Why nothing is to be paid by it, as people read it; empty where it stands."""
        if self.replaced_by:
            return f"replaced by invoice {self.replaced_by}"
        return CUT_OFF if self.is_cut_off else ""


CUT_OFF: Final = "void: its bill went on from one that was replaced, and is to be asked for again"
_AT_ONCE: Final = 500
"""Meters in one query."""
STANDS: Final = Standing(0, 0)
"""What is not a bill, or is one alone."""


def standings(engine: Engine, ledger: Ledger, meters: Iterable[bytes]) -> dict[int, Standing]:
    """Return the standing of all invoices of some meters, by number."""
    found = dict[int, Standing]()
    for meter, entries in _entries(ledger, meters):
        own = standings_of(entries)
        remembering = [
            one.sequence
            for one in entries
            if one.sequence in own and "account" in one.content and not own[one.sequence].is_void
        ]
        if remembering:
            chains = CarriedStates(engine).of_meter(meter)
            kept = {bill.entry for chain in chains for bill in chain.bills}
            for number in remembering:
                own[number] = replace(own[number], is_cut_off=number not in kept)
        found |= own
    return found


def _entries(ledger: Ledger, meters: Iterable[bytes]) -> Iterator[tuple[bytes, list[LedgerEntry]]]:
    wanted = list(dict.fromkeys(meters))
    for first in range(0, len(wanted), _AT_ONCE):
        yield from ledger.of_meters(wanted[first : first + _AT_ONCE]).items()


def standings_of(entries: Iterable[LedgerEntry]) -> dict[int, Standing]:
    """Return which invoices have replaced which, by number: of all entries of some meters."""
    found, last = dict[int, Standing](), dict[tuple[bytes, int, int], int]()
    for entry in entries:
        match entry.kind, entry.content:
            case "bill", {"begin": int(begin), "end": int(end)}:
                before = last.get((entry.meter, begin, end), 0)
                if before:
                    found[before] = replace(found[before], replaced_by=entry.sequence)
                found[entry.sequence] = Standing(begin, end, before)
                last[entry.meter, begin, end] = entry.sequence
    return found
