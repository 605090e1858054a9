# SPDX-License-Identifier: Apache-2.0
"""One field for whatever somebody has in hand: a meter, a contract, an invoice, a name.

Numbers are found by all of them or by their first digits, names by whole words or by their first
letters. Each kind is a look at an index of the database, of a few rows: no table is gone through.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final

from sml_codec import server_ids_of
from utility_server.retail.accounts import (
    ACCOUNT_SIZE,
    accounts_within,
    implicit_account,
    span_of,
)
from utility_server.retail.invoices import numbers_like
from utility_server.retail.utility import Utility
from utility_server.service.einvoice.name_index import words_of
from utility_server.service.einvoice.parties import Parties

_HEX: Final = re.compile("[0-9a-f]{1,64}")
_NUMBER: Final = re.compile("[0-9]{1,18}")


class HitKind(StrEnum):
    """What was found."""

    METER = "meter"
    CONTRACT = "contract"
    NAME = "name"
    INVOICE = "invoice"


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found."""

    kind: HitKind
    meter: bytes
    is_exact: bool
    """Whether it is what was asked for, and does not only begin so."""
    account: bytes = b""
    invoice: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """Looks for what people have in hand."""

    utility: Utility
    parties: Parties | None
    """None for whoever may see no names: then they are not looked for."""

    def find(self, text: str, limit: int) -> tuple[list[Hit], bool]:
        """Return what is found, whatever is exact first, `limit` at most; and if there is more."""
        compact = text.replace(" ", "").lower()
        found = list(self._meters(text, compact, limit + 1))
        found += self._contracts(compact, limit + 1)
        found += self._invoices(compact, limit + 1)
        names, more = self._names(text, limit)
        found += names
        found.sort(key=lambda hit: not hit.is_exact)
        return found[:limit], more or len(found) > limit

    def _meters(self, text: str, compact: str, limit: int) -> Iterator[Hit]:
        customers = self.utility.customers
        for meter in server_ids_of(text):
            if customers.within((meter, meter + b"\0"), 1):
                yield Hit(HitKind.METER, meter, is_exact=True)
        if _HEX.fullmatch(compact):
            for meter in customers.within(span_of(compact), limit):
                yield Hit(HitKind.METER, meter, meter.hex() == compact)

    def _contracts(self, compact: str, limit: int) -> Iterator[Hit]:
        if not _HEX.fullmatch(compact) or len(compact) > 2 * ACCOUNT_SIZE:
            return
        accounts = accounts_within(self.utility.engine, span_of(compact), limit)
        in_use = self._in_use(meter for _, meter in accounts)
        for account, meter in accounts:
            if account in in_use:
                is_exact = account.hex() == compact
                yield Hit(HitKind.CONTRACT, meter, is_exact, account)

    def _in_use(self, meters: Iterable[bytes]) -> set[bytes]:
        """Return the accounts of meters' contracts: one that nobody opened may have given way."""
        contracts = self.utility.contracts.of_meters(list(dict.fromkeys(meters)))
        return {one.account for one in chain.from_iterable(contracts.values())}

    def _invoices(self, compact: str, limit: int) -> Iterator[Hit]:
        if not _NUMBER.fullmatch(compact) or compact.startswith("0"):
            return
        numbers = numbers_like(self.utility.engine, compact, limit)
        entries = self.utility.ledger.numbered(numbers)
        for number in numbers:
            is_exact = str(number) == compact
            yield Hit(HitKind.INVOICE, entries[number].meter, is_exact, invoice=number)

    def _names(self, text: str, limit: int) -> tuple[list[Hit], bool]:
        words = words_of(text)
        if self.parties is None or not words:
            return [], False
        named, more = self.parties.named(words, limit)
        in_use = self._in_use(one.meter for one in named)
        return [
            Hit(HitKind.NAME, one.meter, one.is_exact, one.account, name=one.party.name)
            for one in named
            # A name of before the first contract is kept until it is erased, and so it is found.
            if one.account in in_use or one.account == implicit_account(one.meter)
        ], more
