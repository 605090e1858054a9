# SPDX-License-Identifier: Apache-2.0
"""Certified days of version 2: bytes, certifying, proving a month, verifying a hundred of them.

    python benchmarks/bench_format.py           one core, processor time

Each figure stands next to the other way in the same run: a commitment to each slot, as version 1
had it and as a statement still has it that compares slots.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, partial

from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.amounts import Amount, Bucket, SlotForm, Sum, Tiered
from protocols.metrology import CertifiedDay, CertifiedPeriod, Period, Series, verify_days
from protocols.proofs import StatementContext, amounts_check, open_amounts, verify_all
from tests.support.statements import sent

ZONE = "Europe/Berlin"
SERIES = Series(b"meter 1", bytes.fromhex("0100010800ff"), ZONE, 15)
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
CERTIFIER = Certifier(SERIES, KEYS)
MONTH = Period.month(2025, 3)
YEAR = Period(date(2025, 1, 1), date(2025, 12, 31))
BILLS = 100


@cache
def readings(period: Period) -> tuple[Reading, ...]:
    dice, register, made = random.Random(1), 0, []
    begin, end = period.bounds(ZONE)
    for moment in range(begin, end + 1, 900):
        made.append(Reading(moment, register))
        register += dice.randrange(900)
    return tuple(made)


def certify(period: Period) -> tuple[Certification, ...]:
    done, made, place = list[Certification](), readings(period), 0
    for day in period.grids(ZONE, 15):
        part = made[place : place + len(day) + 1]
        done.append(CERTIFIER.certify(day.day, part, done[-1] if done else None))
        place += len(day)
    return tuple(done)


@cache
def certified(period: Period) -> tuple[Certification, ...]:
    return certify(period)


def prices(slots: int) -> Sum:
    """A price for each hour."""
    dice = random.Random(2)
    weights = [dice.randrange(1, 400_000) for _ in range(slots // 4 + 1)]
    return Sum(SlotForm.of_each([weights[slot // 4] for slot in range(slots)]))


def blocks(slots: int) -> Tiered:
    """Two bands of three blocks."""
    day = [slot for slot in range(slots) if 32 <= slot % 96 < 80]
    night = [slot for slot in range(slots) if not 32 <= slot % 96 < 80]
    form_of = SlotForm.of_each
    forms = [form_of([int(s in chosen) for s in range(slots)]) for chosen in map(set, (day, night))]
    return Tiered(tuple(Bucket(form, (100_000, 200_000), (30, 35, 40)) for form in forms))


def context(period: Period) -> StatementContext:
    begin, end = period.bounds(ZONE)
    return StatementContext(
        SERIES.meter, SERIES.register, begin, end, 15, bytes(32), "supplier", "billing", bytes(16)
    )


@dataclass(frozen=True)
class Answer:
    """Days and a proof, as they are sent."""

    days: tuple[bytes, ...]
    proof: bytes

    @property
    def size(self) -> int:
        return sum(map(len, self.days)) + len(self.proof)


def answer(period: Period, amount: Amount, *, by_slots: bool) -> Answer:
    """What a hub does for one question, once its days are read."""
    done = certified(period)
    days = sent(CERTIFIER, done, by_slots=by_slots)
    opening = CERTIFIER.opening(done, needs_slots=by_slots)
    source = days.source(opening, needs_slots=by_slots)
    _, proof = open_amounts(context(period), source, [amount], bytes(32))
    return Answer(tuple(day.encode() for day in days.days), proof)


def check(period: Period, amount: Amount, one: Answer, count: int, *, by_slots: bool) -> None:
    """What a utility does for so many answers, days included; their proofs at once."""
    checks = []
    for number in range(count):
        days = [CertifiedDay.decode(day) for day in one.days]
        verified = verify_days(days, period, SERIES, KEYS.public_key)
        source = verified.source(needs_slots=by_slots)
        _, own = amounts_check(context(period), source, [amount], one.proof, f"bill {number}")
        checks.append(own)
    verify_all(checks)


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the least processor time of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def print_month(name: str, amount: Amount) -> None:
    print(f"\na month, {name:28}{'a point a day':>16}{'a point a slot':>16}")
    both = [(answer(MONTH, amount, by_slots=way), way) for way in (False, True)]
    rows: dict[str, list[float]] = {"bytes, days and proof": [one.size for one, _ in both]}
    for one, way in both:
        work = partial(answer, MONTH, amount, by_slots=way)
        rows.setdefault("proved, days included", []).append(seconds(work))
        for count in (1, BILLS):
            took = seconds(partial(check, MONTH, amount, one, count, by_slots=way), 3 // count or 1)
            label = "verified alone" if count == 1 else f"verified, each of {BILLS}"
            rows.setdefault(label, []).append(took / count)
    for label, (left, right) in rows.items():
        if label.startswith("bytes"):
            print(f"  {label:36}{left:13,.0f} B{right:14,.0f} B{right / left:8.1f} x")
        else:
            print(f"  {label:36}{1000 * left:12.1f} ms{1000 * right:13.1f} ms{right / left:8.1f} x")


def print_year() -> None:
    made = readings(YEAR)
    took = seconds(lambda: certify(YEAR), 1)
    done = certified(YEAR)
    days = sum(len(one.day.encode()) for one in done)
    signatures = sum(len(slot.signature) for one in done for slot in one.signed)
    print(f"\na year at once, {len(made) - 1:,} slots: {took:.1f} s to certify, each slot signed;")
    print(f"  {days:,} bytes of days, {signatures:,} of slots' signatures")
    amount = prices(len(made) - 1)
    one = answer(YEAR, amount, by_slots=False)
    proved = seconds(lambda: answer(YEAR, amount, by_slots=False), 1)
    checked = seconds(lambda: check(YEAR, amount, one, 1, by_slots=False), 1)
    print(f"  in one proof: {len(one.proof):,} bytes, with days {one.size:,};"
          f" proved in {proved:.1f} s, verified in {checked:.2f} s")  # fmt: skip


def print_live() -> None:
    made, grids = readings(MONTH), MONTH.grids(ZONE, 15)
    first = CERTIFIER.certify(grids[0].day, made[:97], None)
    took = seconds(
        lambda: CERTIFIER.certify_slots(grids[1].day, made[96:145], first), 10
    )  # 48 slots at once
    one = CERTIFIER.certify_slots(grids[1].day, made[96:145], first)
    print(f"\nslots as they end: {1000 * took / 48:.2f} ms each where half a day comes at once;"
          f" a certificate has {len(one[0].encode())} bytes")  # fmt: skip


def print_restated() -> None:
    from tests.support.version1 import certify_version_1

    old = certify_version_1(CERTIFIER, MONTH, readings(MONTH))
    took = seconds(lambda: [CERTIFIER.restate(one) for one in old])
    CertifiedPeriod(tuple(one.day for one in old)).source(needs_slots=True)
    sizes = (
        sum(len(one.day.encode()) for one in old),
        sum(len(CERTIFIER.restate(one).day.encode()) for one in old),
    )
    print(f"\na stored month of version 1, {sizes[0]:,} bytes, stated again: {1000 * took:.0f} ms,"
          f" {sizes[1]:,} bytes")  # fmt: skip


def main() -> None:
    slots = len(readings(MONTH)) - 1
    print_month("a price for each hour", prices(slots))
    print_month("two bands of three blocks", blocks(slots))
    print_year()
    print_live()
    print_restated()


if __name__ == "__main__":
    main()
