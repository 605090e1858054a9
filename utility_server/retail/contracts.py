# SPDX-License-Identifier: Apache-2.0
"""Contracts: from which local day to which a meter is one customer's.

    |------ implicit or first contract ------|   no contract   |------ next contract ------ ...
     first day                       last day                    first day        (open: no last)

A meter has no contract on record until one is opened or closed: then all days are of one, as if it
had been there always. Moving in opens a contract, moving out closes it. Contracts of a meter do not
overlap. What the utility asks a hub is about days of one contract, whichever applet is asked; what
spans two, or none, is not asked. A contract is named by 16 bytes, its account, which say nothing of
the customer. That of a meter without a contract on record follows from the meter, and stays its
name when the contract is closed.

`Progress` says which days of a contract are billed, and which period a reading cycle has next.

Errors: NoContract, ContractRefused, UnknownCustomer
"""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from applets.billing.statement import LEAST_DAYS
from protocols.metrology import GridError, Period
from utility_server.database import contract_table as table
from utility_server.database import customer_party_table, name_token_table, reading, writing
from utility_server.errors import ContractRefused, NoContract, StoreError
from utility_server.retail.accounts import ACCOUNT_SIZE, implicit_account
from utility_server.retail.customers import Customers
from utility_server.retail.ledger import Ledger
from utility_server.retail.standings import standings

_ONE_DAY: Final = timedelta(days=1)
LAST_START: Final = 28
"""The last day of a month on which a reading cycle may begin: every month has it."""


@dataclass(frozen=True, slots=True)
class Contract:
    """A customer's time at a meter."""

    account: bytes
    """Names the contract; 16 bytes."""
    meter: bytes
    first: date | None
    """The first local day; None: no contract is on record, and all days are of this one."""
    last: date | None = None
    """The last local day; None while it is open."""

    @property
    def is_implicit(self) -> bool:
        """Whether it is one that nobody has opened."""
        return self.first is None

    def covers(self, period: Period) -> bool:
        """Return whether all days of a period are of this contract."""
        return (self.first is None or self.first <= period.first) and (
            self.last is None or period.last <= self.last
        )

    def touches(self, period: Period) -> bool:
        """Return whether a day of a period is of this contract."""
        return (self.first is None or self.first <= period.last) and (
            self.last is None or period.first <= self.last
        )

    def __str__(self) -> str:
        """Return from when to when it is, in words."""
        begin = "of all days" if self.first is None else f"from {self.first}"
        return begin + (" on" if self.first and not self.last else "") + (
            f" until {self.last}" if self.last else ""
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Contracts:
    """The contracts of all meters."""

    engine: Engine
    customers: Customers
    ledger: Ledger
    randomness: Callable[[int], bytes] = field(repr=False)

    def of(self, meter: bytes, begin: int, end: int) -> Contract:
        """Return the contract that all of [begin, end) is in; raise `NoContract` if none is."""
        period = Period.touching(begin, end, self.customers.zone(meter))
        return self.covering(meter, period)

    def covering(self, meter: bytes, period: Period) -> Contract:
        """Return the contract that all days of a period are of; raise `NoContract` if none is."""
        return covering(self.of_meter(meter), period)

    def of_meter(self, meter: bytes) -> list[Contract]:
        """Return a meter's contracts in order; one of all days where none is on record."""
        self.customers.zone(meter)  # raises where nobody is enrolled
        return self.of_meters([meter])[meter]

    def of_meters(self, meters: Sequence[bytes]) -> dict[bytes, list[Contract]]:
        """Return the same of several meters, which are enrolled."""
        with reading(self.engine) as connection:
            found = _stored_of(connection, meters)
        return {meter: contracts or [_implicit(meter)] for meter, contracts in found.items()}

    def open(self, meter: bytes, first: date) -> Contract:
        """Return a new contract from a day on; the same call again changes nothing.

        Raises `ContractRefused` where another one has that day, or a later one.
        """
        Period(first, first)  # a year that days may have
        zone = self.customers.zone(meter)
        with writing(self.engine) as connection:
            known, billed = _stored(connection, meter), self._billed(meter, zone)
            if known and (known[-1].first, known[-1].last) == (first, None):
                return known[-1]
            if known and known[-1].last is None:
                raise ContractRefused(
                    f"meter {meter.hex()} has a contract {known[-1]};"
                    " `meterlet utility contract close` ends it the day before the new one"
                )
            if known and known[-1].last is not None and known[-1].last >= first:
                raise ContractRefused(
                    f"meter {meter.hex()} has a contract {known[-1]}: open the new one from"
                    f" {known[-1].last + _ONE_DAY} on, or close the old one on an earlier day"
                )
            if not known and billed and billed[0].first < first:
                raise ContractRefused(
                    f"meter {meter.hex()} has bills from {billed[0].first} on; `meterlet utility"
                    " contract close` ends the contract that they are of, then open the new one"
                )
            # Bills of before are of this contract, and have named it.
            name = _implicit(meter).account if billed and not known else None
            contract = Contract(name or self.randomness(ACCOUNT_SIZE), meter, first)
            _insert(connection, contract)
        return contract

    def close(self, meter: bytes, last: date) -> Contract:
        """Return a meter's last contract, with this last day; one that was closed gets it anew.

        Raises `ContractRefused` where a later day is billed, or the contract begins later.
        """
        Period(last, last)
        zone = self.customers.zone(meter)
        with writing(self.engine) as connection:
            known, billed = _stored(connection, meter), self._billed(meter, zone)
            if not (known or billed):
                raise ContractRefused(
                    f"meter {meter.hex()} has no contract on record and no bill: say since when it"
                    " is this customer's with `meterlet utility contract open` first"
                )
            # From now on the one of all days is on record, under the name it had.
            contract = known[-1] if known else replace(_implicit(meter), first=billed[0].first)
            if contract.first is None or last < contract.first:
                raise ContractRefused(
                    f"meter {meter.hex()} has a contract {contract}: it cannot end on {last}"
                )
            if late := [period for period in billed if period.last > last]:
                raise ContractRefused(
                    f"meter {meter.hex()} is billed until {late[-1].last}: bills stand, so its"
                    " contract cannot end before"
                )
            contract = replace(contract, last=last)
            if known:
                connection.execute(
                    update(table).where(table.c.account == contract.account).values(last=str(last))
                )
            else:
                _insert(connection, contract)
        return contract

    def drop(self, meter: bytes, account: bytes) -> Contract:
        """Forget a contract that was opened by mistake, and the name of whose it was.

        Raises `ContractRefused` if it has bills.
        """
        zone = self.customers.zone(meter)
        with writing(self.engine) as connection:
            for contract in _stored(connection, meter):
                if contract.account == account:
                    break
            else:
                raise ContractRefused(
                    f"meter {meter.hex()} has no contract {account.hex()} on record"
                )
            if any(contract.touches(period) for period in self._billed(meter, zone)):
                raise ContractRefused(
                    f"contract {account.hex()} has bills: close it instead of dropping it"
                )
            connection.execute(delete(table).where(table.c.account == account))
            # In one transaction: of a contract that is gone, nobody could erase the name.
            for its in (customer_party_table.c.account, name_token_table.c.account):
                connection.execute(delete(its.table).where(its == account))
        return contract

    def progress(self, contract: Contract, today: date) -> "Progress":
        """Return which days of a contract are billed as of a day."""
        zone = self.customers.zone(contract.meter)
        found = [
            period for period in self._billed(contract.meter, zone) if contract.touches(period)
        ]
        void = self._void(contract.meter, zone)
        return Progress(
            contract,
            tuple(period for period in found if period not in void),
            today,
            self._unsettled(contract, zone),
            tuple(period for period in found if period in void),
        )

    def _void(self, meter: bytes, zone: str) -> set[Period]:
        """Return the periods whose bill went on from one that has been replaced since."""
        known = standings(self.engine, self.ledger, [meter]).values()
        return {Period.filling(one.begin, one.end, zone) for one in known if one.is_cut_off}

    def _unsettled(self, contract: Contract, zone: str) -> Period | None:
        """Return the contract's last period, if its bill has memory and is not a last bill."""
        found = None
        for entry in self.ledger.bills(contract.meter):
            match entry.content:
                case {"account": contract.account, "begin": int(begin), "end": int(end)}:
                    period = Period.filling(begin, end, zone)
                    if period.last == contract.last:
                        found = None if "last" in entry.content else period
        return found

    def _billed(self, meter: bytes, zone: str) -> list[Period]:
        """Return the periods that have a bill, each once, in order."""
        bounds = set()
        for entry in self.ledger.bills(meter):
            match entry.content:
                case {"begin": int(begin), "end": int(end)}:
                    bounds.add((begin, end))
        try:
            return [Period.filling(begin, end, zone) for begin, end in sorted(bounds)]
        except GridError as error:
            raise StoreError(f"ledger: a bill of meter {meter.hex()}: {error}") from None


def covering(contracts: Sequence[Contract], period: Period) -> Contract:
    """Return which of a meter's contracts covers a period; raise `NoContract` if none does."""
    for contract in contracts:
        if contract.covers(period):
            return contract
    touched = [contract for contract in contracts if contract.touches(period)]
    what = " and ".join(f"one {contract}" for contract in touched or contracts)
    raise NoContract(
        f"meter {contracts[0].meter.hex()}: {period.first} to {period.last} is not within one"
        f" contract; there is {what}: ask for days of one"
    )


class Cycle(enum.StrEnum):
    """How often a meter is billed."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    @property
    def months(self) -> int:
        """How many calendar months it has."""
        return {Cycle.MONTH: 1, Cycle.QUARTER: 3, Cycle.YEAR: 12}[self]

    def around(self, day: date, begins: date) -> Period:
        """Return the cycle that has `day`, where one begins on `begins`."""
        months = 12 * (day.year - begins.year) + day.month - begins.month
        months -= months % self.months
        if _later(begins, months) > day:
            months -= self.months
        return Period(_later(begins, months), _later(begins, months + self.months) - _ONE_DAY)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the bills of a contract have come."""

    contract: Contract
    billed: Sequence[Period]
    """The periods that have a bill, in order."""
    today: date
    unsettled: Period | None = None
    """The last period, if it was billed before the contract was closed: under a tariff with memory
    its bill has to be asked for again, as the last one, so that all is settled."""
    void: Sequence[Period] = ()
    """The periods whose bill went on from one that was replaced since, in order: their bills have
    to be asked for again, before any other."""

    def _open(self) -> Iterator[tuple[date, date | None]]:
        """Yield the first and last day of each stretch without a bill; None: it has no end yet."""
        day = self.contract.first
        taken = sorted([*self.billed, *self.void], key=lambda period: period.first)
        if day is None:
            if not taken:
                return  # nobody has said since when
            day = taken[0].first
        for period in taken:
            if period.first > day:
                yield day, period.first - _ONE_DAY
            day = max(day, period.last + _ONE_DAY)
        if self.contract.last is None or day <= self.contract.last:
            yield day, self.contract.last

    @property
    def unbilled(self) -> Sequence[Period]:
        """The days that have passed and have no bill."""
        yesterday = self.today - _ONE_DAY
        return tuple(
            Period(first, min(last or yesterday, yesterday))
            for first, last in self._open()
            if first <= yesterday
        )

    def due(self, cycle: Cycle, begins: date, least_days: int = LEAST_DAYS) -> Period | None:
        """Return the period to bill next; None where all days are billed, or none is known.

        The first void one comes before all others. Any other ends with the cycle, with the
        contract or before the next bill, whichever is first. Where it, or what it leaves until
        then, would have fewer than `least_days` days, it goes on: hubs tell of no fewer. Raises
        `ContractRefused` for a cycle that begins on a day that not every month has.
        """
        if begins.day > LAST_START:
            raise ContractRefused(f"a cycle begins on the 1st to the {LAST_START}th, not {begins}")
        if self.void:
            return self.void[0]
        for first, last in self._open():
            end = cycle.around(first, begins).last
            while (end - first).days + 1 < least_days:
                end = cycle.around(end + _ONE_DAY, begins).last
            if last is not None and (last - end).days < least_days:
                end = last
            return Period(first, end)
        return None

    def is_over(self, period: Period) -> bool:
        """Return whether a period's last day has passed."""
        return period.last < self.today


def _later(day: date, months: int) -> date:
    place = 12 * day.year + day.month - 1 + months
    return date(place // 12, place % 12 + 1, day.day)


def _implicit(meter: bytes) -> Contract:
    return Contract(implicit_account(meter), meter, None)


def _insert(connection: Connection, contract: Contract) -> None:
    connection.execute(
        insert(table).values(
            account=contract.account,
            meter=contract.meter,
            first=str(contract.first),
            last="" if contract.last is None else str(contract.last),
        )
    )


def _stored(connection: Connection, meter: bytes) -> list[Contract]:
    """Return the contracts on record of a meter, in order; raise `StoreError` if damaged."""
    return _stored_of(connection, [meter])[meter]


def _stored_of(connection: Connection, meters: Sequence[bytes]) -> dict[bytes, list[Contract]]:
    """Return the same of several meters."""
    rows = connection.execute(
        select(table.c.account, table.c.meter, table.c.first, table.c.last)
        .where(table.c.meter.in_(meters))
        .order_by(table.c.first)
    ).all()
    found: dict[bytes, list[Contract]] = {meter: [] for meter in meters}
    for row in rows:
        found[bytes(row.meter)].append(_contract(*row))
    for meter, contracts in found.items():
        for before, after in pairwise(contracts):
            if before.last is None or after.first is None or before.last >= after.first:
                raise StoreError(f"meter {meter.hex()}: its contracts overlap")
    return found


def _contract(account: bytes, meter: bytes, first: str, last: str) -> Contract:
    try:
        period = Period.parse(f"{first}..{last or first}")
        if len(account) != ACCOUNT_SIZE:
            raise GridError(f"{account.hex()} is no account")
    except GridError as error:
        raise StoreError(f"a contract on record: {error}") from None
    return Contract(bytes(account), bytes(meter), period.first, period.last if last else None)
