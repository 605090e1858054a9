# SPDX-License-Identifier: Apache-2.0
"""What memory costs: a private bill that goes on from ten others, beside one of its month alone.

    pytest benchmarks/bench_memory.py --benchmark-only    each with its distribution
    python benchmarks/bench_memory.py                     a table with ratios, processor time

Each example tariff with memory bills its eleventh month of 15-minute slots: planned and proved as
at a hub, planned and verified as at a utility. Beside it is the same tariff without what remembers:
no looking back, no counting on, no credit and no instalment. Certified days and their signatures
are the same for both, and left out.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from applets.billing.charges import plan_bill
from applets.billing.statement import PURPOSE, RECIPIENT
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.amounts import Carried, NumberAmount
from protocols.carried import CarriedState, CarriedValue
from protocols.metrology import Period, Series
from protocols.proofs import (
    NumbersContext,
    Source,
    commit,
    numbers_check_on,
    open_numbers_on,
    registers_by_slots,
    verify_all,
)
from protocols.proofs.carrying import Openings, carried_quantities
from tariffs import BillMemory, Register, Tariff, compute_bill
from tariffs.clock import date_of
from tariffs.memory import bounds_of
from tariffs.source import load_toml
from tests.support.statements import sent

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "tariffs"
NAMES = (
    "be-capacity-rolling-2025", "de-prepaid-2025", "dk-electric-heating-2025", "gb-budget-2025",
    "nl-energy-tax-2025", "nl-saldering-2025", "us-net-metering-2025", "us-ratchet-2025",
)  # fmt: skip
REGISTERS = {
    Register.IMPORT: bytes.fromhex("0100010800ff"),
    Register.EXPORT: bytes.fromhex("0100020800ff"),
}
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
METER, SEED, SLOT, BEFORE = b"bench", bytes(32), 900, 10
MOST_RATIO = 2.0
REMEMBERING = ("look_back", "cumulative", "carry", "year_begins", "true_up")


def without_memory(text: str) -> str:
    """Return a tariff's source without what remembers."""
    lines = [line for line in text.splitlines() if not line.startswith(REMEMBERING)]
    tables = "\n".join(lines).split("\n\n")
    kept = [one for one in tables if '"credit"' not in one and '"instalment"' not in one]
    source = "\n\n".join(kept) + "\n"
    return source.replace('kind = "net"\n', 'kind = "net"\ninterval = "month"\n').replace(
        'interval = "month"\ninterval = "year"', 'interval = "month"'
    )


@dataclass(frozen=True)
class Case:
    """A bill of one month, with or without what it goes on from."""

    tariff: Tariff
    period: Period
    sources: Mapping[Register, Callable[[bool], tuple[Source, Source]]]
    state: CarriedState | None
    openings: Openings

    def numbers(self) -> tuple[tuple[Register, ...], list[NumberAmount]]:
        """Return what is proved, planned anew."""
        begin, end = self.period.bounds(self.tariff.zone)
        starts = range(begin, end, SLOT)
        states = [0] * len(starts)
        plan = plan_bill(self.tariff, starts, SLOT, states, begin, end, self.state)
        return plan.registers, [plan.total]

    def context(self, registers: tuple[Register, ...]) -> NumbersContext:
        return NumbersContext(
            METER, tuple(REGISTERS[one] for one in registers),
            *self.period.bounds(self.tariff.zone), SLOT // 60, self.tariff.digest, RECIPIENT,
            PURPOSE, bytes(16), b"" if self.state is None else self.state.digest,
        )  # fmt: skip

    def _sides(
        self, registers: tuple[Register, ...], numbers: list[NumberAmount]
    ) -> list[tuple[Source, Source]]:
        by_slots = registers_by_slots(numbers, len(registers))
        pairs = zip(registers, by_slots, strict=True)
        return [self.sources[register](slots) for register, slots in pairs]

    def prove(self) -> bytes:
        """Do what a hub does."""
        registers, numbers = self.numbers()
        known = [one for one, _ in self._sides(registers, numbers)]
        carried = (
            {} if self.state is None else carried_quantities(self.state, numbers, self.openings)
        )
        return open_numbers_on(self.context(registers), known, numbers, SEED, carried)[1]

    def verify(self, proof: bytes) -> int:
        """Do what a utility does."""
        registers, numbers = self.numbers()
        hidden = [one for _, one in self._sides(registers, numbers)]
        carried = {} if self.state is None else carried_quantities(self.state, numbers)
        context = self.context(registers)
        stated, check = numbers_check_on(context, hidden, numbers, proof, "it", carried)
        verify_all([check])
        return stated.values[0]


@cache
def case(name: str, *, remembers: bool) -> Case:
    """Return the eleventh month of an example tariff."""
    text = (EXAMPLES / f"{name}.toml").read_text()
    tariff = load_toml(text if remembers else without_memory(text))
    assert tariff.has_memory is remembers
    first = date_of(tariff.versions[0].valid_from)
    place = 12 * first.year + first.month - 1
    months = [Period.month(n // 12, n % 12 + 1) for n in range(place, place + BEFORE + 1)]
    sources = {one: _source(tariff.zone, months[-1], one) for one in Register}
    state, openings = _left(tariff, months[:-1]) if remembers else (None, {})
    return Case(tariff, months[-1], sources, state, openings)


def _uses(period: Period, zone: str, register: Register) -> list[int]:
    begin, end = period.bounds(zone)
    dice = random.Random(f"{period} {register}")
    if register is Register.EXPORT:
        return [dice.choice((0, 0, 0, 250)) + dice.randrange(9) for _ in range(begin, end, SLOT)]
    return [dice.choice((25, 40, 60, 450)) + dice.randrange(60) for _ in range(begin, end, SLOT)]


def _left(tariff: Tariff, months: list[Period]) -> tuple[CarriedState, Openings]:
    """Return what the bills of some months leave: reckoned in the open, then committed to."""
    memory: BillMemory | None = None
    for month in months:
        begin, end = month.bounds(tariff.zone)
        drawn, fed_in = (_uses(month, tariff.zone, one) for one in Register)
        bill = compute_bill(
            tariff, range(begin, end, SLOT), SLOT, drawn, export_wh=fed_in, memory=memory
        )
        memory = bill.memory
    assert memory is not None
    values, openings = list[CarriedValue](), dict[str, tuple[int, int]]()
    for key, value in sorted(memory.values.items(), key=lambda item: item[0].text):
        low, high = bounds_of(tariff.versions[0], key)
        openings[key.text] = value, 7 + len(openings)
        carried = Carried(key.text, low, (high - low).bit_length())
        values.append(CarriedValue(carried, commit(*openings[key.text]).encode()))
    state = CarriedState(METER, bytes(16), len(months), memory.end, bytes(32), tuple(values))
    return state, openings


def _source(
    zone: str, period: Period, register: Register
) -> Callable[[bool], tuple[Source, Source]]:
    """Return a register's certified days, with and without what opens them."""
    series = Series(METER, REGISTERS[register], zone, SLOT // 60)
    certifier = Certifier(series, KEYS)

    @cache
    def days() -> tuple[Certification, ...]:
        begin, _ = period.bounds(zone)
        count, readings = 0, [Reading(begin, 0)]
        for number, use in enumerate(_uses(period, zone, register), start=1):
            count += use
            readings.append(Reading(begin + number * SLOT, count))
        done: list[Certification] = []
        for day in period.days(zone):
            done.append(certifier.certify(day, readings, done[-1] if done else None))
        return tuple(done)

    @cache
    def sides(by_slots: bool) -> tuple[Source, Source]:
        certified = sent(certifier, days(), by_slots=by_slots)
        opening = certifier.opening(days(), needs_slots=by_slots)
        return (
            certified.source(opening, needs_slots=by_slots),
            certified.source(needs_slots=by_slots),
        )

    return sides


@pytest.mark.parametrize("remembers", [False, True], ids=["alone", "with memory"])
@pytest.mark.parametrize("name", NAMES)
def bench_proving(benchmark: Any, name: str, remembers: bool) -> None:
    one = case(name, remembers=remembers)
    benchmark.pedantic(one.prove, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("remembers", [False, True], ids=["alone", "with memory"])
@pytest.mark.parametrize("name", NAMES)
def bench_verifying(benchmark: Any, name: str, remembers: bool) -> None:
    one = case(name, remembers=remembers)
    proof = one.prove()
    benchmark.pedantic(one.verify, (proof,), rounds=3, warmup_rounds=1)


# The table


def _seconds(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def rows(rounds: int = 5) -> Iterator[tuple[str, list[float]]]:
    """Yield each tariff with the medians of proving and verifying, alone and with memory."""
    for name in NAMES:
        both = [case(name, remembers=remembers) for remembers in (False, True)]
        proofs = [one.prove() for one in both]
        for one, proof in zip(both, proofs, strict=True):
            one.verify(proof)
        runs: list[Callable[[], object]] = [one.prove for one in both]
        runs += [
            lambda one=one, proof=proof: one.verify(proof)  # type: ignore[misc]
            for one, proof in zip(both, proofs, strict=True)
        ]
        taken = [[_seconds(run) for run in runs] for _ in range(rounds)]  # side by side
        yield name, [statistics.median(column) for column in zip(*taken, strict=True)]


def main() -> int:
    """Print the table; fail where memory costs more than `MOST_RATIO`."""
    for side in ("hub", "utility"):
        print(
            f"{f'{side}, alone':>{40 if side == 'hub' else 12}}{'memory':>10}{'ratio':>7}", end=""
        )
    print()
    worst = 0.0
    for name, (alone, memory, checked, checked_memory) in rows():
        hub, utility = memory / alone, checked_memory / checked
        worst = max(worst, hub, utility)
        print(
            f"{name:28}{alone * 1000:9.0f} ms{memory * 1000:7.0f} ms{hub:7.2f}"
            f"{checked * 1000:9.0f} ms{checked_memory * 1000:7.0f} ms{utility:7.2f}"
        )
    print(f"at most {worst:.2f} times, {MOST_RATIO:.0f} are allowed")
    return int(worst > MOST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
