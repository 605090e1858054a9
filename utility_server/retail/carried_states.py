# SPDX-License-Identifier: Apache-2.0
"""The carried states that bills with memory have left: of each account one chain, in order.

    opening --bill 1--> state 1 --bill 2--> state 2 -- ... --> head

An account is a contract at a meter. The next bill goes on from the head and begins where it ends;
no day is left out, and no state is gone on from twice. A corrected bill for a period that has one
goes on from the same state as the bill that it replaces. Then the states after it are void: the
bills after it have to be asked for again, in order. Of a state the utility knows the points alone
(`protocols.carried`). The last bill of a contract settles all: none goes on from it, unless a
corrected one that is not the last takes its place.

Errors: VerificationFailed, under the name `memory`; BillOutOfOrder before anything is asked
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, Row, select

from protocols.canonical.cbor import CborError
from protocols.canonical.day_zone import zone_named
from protocols.canonical.stored import decode_row
from protocols.carried import CarriedState, StateMalformed
from tariffs.clock import date_of
from tariffs.errors import MemoryRefused
from tariffs.memory import MemoryKey
from utility_server.database import carried_state_table as table
from utility_server.database import ledger_table, reading
from utility_server.errors import BillOutOfOrder, StoreError, VerificationFailed
from utility_server.writes import Writes

_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StatedBill:
    """A bill of a chain, and the state that it has left."""

    begin: int
    state: CarriedState
    entry: int
    """Its number in the ledger."""
    is_last: bool = False
    """Whether the contract ended with it."""

    @property
    def bounds(self) -> tuple[int, int]:
        """The bill's period."""
        return self.begin, self.state.end


@dataclass(frozen=True, slots=True)
class Chain:
    """The bills with memory of an account, in order."""

    meter: bytes
    account: bytes
    bills: Sequence[StatedBill] = ()

    @property
    def head(self) -> CarriedState | None:
        """The state that the last bill has left."""
        return self.bills[-1].state if self.bills else None

    def before(self, number: int) -> CarriedState:
        """Return the state that bill `number` has gone on from."""
        if number > 1:
            return self.bills[number - 2].state
        return CarriedState.opening(self.meter, self.account, self.bills[0].begin)

    def to_go_on_from(self, begin: int, end: int, opened: int, zone: str) -> CarriedState:
        """Return what a bill for [begin, end) goes on from; raise `BillOutOfOrder` if it cannot.

        `opened` is when the first bill of the account begins, if there is none yet.
        """
        for bill in self.bills:
            if bill.bounds == (begin, end):
                return self.before(bill.state.number)
        head = self.head or CarriedState.opening(self.meter, self.account, opened)
        if begin >= head.end and self.bills and self.bills[-1].is_last:
            first, last = _day(self.bills[-1].begin, zone), _day(head.end - 1, zone)
            raise BillOutOfOrder(
                f"out of order: the bill of {first} to {last} was the last one of the contract, and"
                " settled it; if the contract goes on, ask for that bill again first"
            )
        if begin == head.end:
            return head
        if begin > head.end:
            first, last = _day(head.end, zone), _day(begin, zone) - _ONE_DAY
            raise BillOutOfOrder(
                f"out of order: the tariff goes on from bill to bill, and {first} to {last} is not"
                f" billed yet: ask for the bill that begins on {first} first"
            )
        start = _day(self.bills[0].begin if self.bills else opened, zone)
        raise BillOutOfOrder(
            f"out of order: the account's bills with memory began on {start}, and go on from there"
        )


def _day(moment: int, zone: str) -> date:
    return datetime.fromtimestamp(moment, zone_named(zone)).date()


@dataclass(frozen=True, slots=True)
class CarriedStates:
    """The chains of all accounts."""

    engine: Engine

    def of(self, meter: bytes, account: bytes) -> Chain:
        """Return an account's chain; raise `StoreError` where it is damaged."""
        with reading(self.engine) as connection:
            return read_chain(connection, meter, account)

    def of_meter(self, meter: bytes) -> list[Chain]:
        """Return the chains of a meter's accounts."""
        query = select(table.c.account).where(table.c.meter == meter).distinct()
        with reading(self.engine) as connection:
            accounts = sorted(bytes(account) for account in connection.execute(query).scalars())
            return [read_chain(connection, meter, account) for account in accounts]


@dataclass(frozen=True, slots=True)
class Succession:
    """A verified bill's step from one state to the next."""

    begin: int
    before: CarriedState
    after: CarriedState


def read_chain(connection: Connection, meter: bytes, account: bytes) -> Chain:
    """Return an account's chain; raise `StoreError` where it is damaged."""
    return read_chains(connection, [(meter, account)])[meter, account]


def read_chains(
    connection: Connection, accounts: Iterable[tuple[bytes, bytes]]
) -> dict[tuple[bytes, bytes], Chain]:
    """Return the chains of several accounts, by meter and account; raise as above."""
    found: dict[tuple[bytes, bytes], list[Row[Any]]] = {one: [] for one in accounts}
    if not found:
        return {}
    rows = connection.execute(
        select(table, ledger_table.c.body)
        .outerjoin(ledger_table, ledger_table.c.sequence == table.c.entry)
        .where(table.c.meter.in_([meter for meter, _ in found]))
        .where(table.c.account.in_([account for _, account in found]))
        .order_by(table.c.number)
    ).all()
    for row in rows:
        if (key := (bytes(row.meter), bytes(row.account))) in found:
            found[key].append(row)
    return {key: _chain_in(*key, rows) for key, rows in found.items()}


def _chain_in(meter: bytes, account: bytes, rows: Sequence[Row[Any]]) -> Chain:
    try:
        bills = [
            StatedBill(row.begin, CarriedState.decode(row.state), row.entry, _is_last(row.body))
            for row in rows
        ]
    except (StateMalformed, CborError) as error:
        raise StoreError(f"meter {meter.hex()}: a carried state: {error}") from None
    chain = Chain(meter, account, bills)
    for number, (bill, row) in enumerate(zip(bills, rows, strict=True), start=1):
        before = chain.before(number)
        expected = (meter, account, number, before.digest, before.end)
        state = bill.state
        if expected != (state.meter, state.account, state.number, state.previous, bill.begin) or (
            row.number != number
        ):
            raise StoreError(f"meter {meter.hex()}: its carried states are no chain")
    return chain


def _is_last(body: bytes | None) -> bool:
    """Return whether a bill's entry of the ledger says that its contract ended with it."""
    match None if body is None else decode_row(body):
        case [_, _, "bill", _, {"last": 1}]:
            return True
        case _:
            return False


def extend_states(chain: Chain, step: Succession, entry: int, writes: Writes) -> None:
    """Have the state kept that a verified bill has left; those after it are void from then on.

    Raises `VerificationFailed` where the bill does not go on from the chain as it is now.
    """
    before, after = step.before, step.after
    require_succession(chain, step)
    account = {"meter": before.meter, "account": before.account}
    for number in range(after.number, len(chain.bills) + 1):
        writes.drop(table, **account, number=number)
    writes.add(
        table,
        **account,
        number=after.number,
        begin=step.begin,
        state=after.encode(),
        entry=entry,
    )


def require_succession(chain: Chain, step: Succession) -> None:
    """Raise `VerificationFailed` where a bill does not go on from a chain as it should."""
    before, bills = step.before, chain.bills
    if before.number > len(bills):
        last = len(bills) + 1
        raise _refused(f"out of order: bill {last} of the account is left out, and comes first")
    if before.number and bills[before.number - 1].is_last:
        raise _refused(
            f"out of order: bill {before.number} was the contract's last one, and nothing goes on"
            " from it"
        )
    known = chain.before(before.number + 1) if bills else before
    if before.digest != known.digest:
        raise _refused(f"not the state that bill {before.number} of the account has left")
    if before.number < len(bills) and bills[before.number].bounds != (step.begin, step.after.end):
        raise _refused(f"used twice: bill {before.number + 1} has gone on from that state before")


def _refused(reason: str) -> VerificationFailed:
    return VerificationFailed("memory", reason)


class EnteredBill(Protocol):
    """An entry of the ledger, as far as it is looked at here."""

    @property
    def sequence(self) -> int:
        """Its number."""
        ...

    @property
    def meter(self) -> bytes:
        """Whose it is."""
        ...

    @property
    def content(self) -> Mapping[str, int | str | bytes]:
        """What it says."""
        ...


@dataclass(frozen=True, slots=True)
class EnteredChains:
    """The chains as the ledger's entries tell them, to hold them to what they rest on."""

    _bills: dict[tuple[bytes, bytes], list[bytes]] = field(default_factory=dict)
    """By meter and account: the digests of the states that its bills have left, in order."""
    _last: set[bytes] = field(default_factory=set)
    """Those that last bills of a contract have left."""

    def add(self, entry: EnteredBill) -> None:
        """Go on by an entry; raise `VerificationFailed` where its bill does not follow the last."""
        match entry.content:
            case {
                "account": bytes(account), "bill": int(number), "state_before": bytes(before),
                "state": bytes(after), "begin": int(begin),
            }:  # fmt: skip
                states = self._bills.setdefault((entry.meter, account), [])
            case _:
                return
        place = f"entry {entry.sequence}, bill {number} of the account"
        if not 1 <= number <= len(states) + 1:
            raise _refused(f"{place}: a bill before it is left out")
        known = CarriedState.opening(entry.meter, account, begin).digest
        if before in self._last:
            raise _refused(f"{place}: the bill before it was the contract's last one")
        if (states[number - 2] if number > 1 else known) != before:
            raise _refused(
                f"{place}: it does not go on from the state that the one before has left"
            )
        states[number - 1 :] = [after]
        if "last" in entry.content:
            self._last.add(after)

    def require(self, states: CarriedStates) -> None:
        """Raise `VerificationFailed` where the kept chains are not those of the entries."""
        for (meter, account), digests in self._bills.items():
            kept = [bill.state.digest for bill in states.of(meter, account).bills]
            if kept != digests:
                raise _refused(f"meter {meter.hex()}: the kept states are not those of the ledger")


def facts_of(state: CarriedState) -> dict[str, Any]:
    """Return what a bill has left, as the JSON outputs show it: the values have names alone."""
    return {
        "account": state.account.hex(),
        "bill": state.number,
        "state": state.digest.hex(),
        "carried": [value.name for value in state.values],
    }


def words_of(state: CarriedState) -> list[str]:
    """Return the same in lines."""
    lines = [f"bill {state.number} of account {state.account.hex()}, state {state.digest.hex()}"]
    return lines + [f"  {_named(value.name)}: committed, not told" for value in state.values]


def _named(name: str) -> str:
    try:
        key = MemoryKey.parse(name)
    except MemoryRefused:
        return name  # which no bill goes on from
    band = f", band {key.part + 1}" if key.part else ""
    return f"{key.component}{band}" + (f" from {date_of(key.day)} on" if key.day else "")
