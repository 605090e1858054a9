# SPDX-License-Identifier: Apache-2.0
"""What proofs cost, by `hub.applet_host.cost` before they are made, and then in processor time.

    pytest benchmarks/bench_cost.py --benchmark-only    each with its distribution
    python benchmarks/bench_cost.py                     a table of ratios, one core

A ratio is what was charged, by what was needed: above 1 the hub is paid for all that it does. The
machine's own speed is a factor of all of them.
"""

import time
from typing import Any, Final

import pytest

from benchmarks.bench_private_bills import KEYS, MAY, SEED, SERIES, ZONE, certified
from hub.applet_host.cost import SLOT_FUEL, cost_of_amounts
from hub.certifier import Certifier
from hub.machine.limits import SECOND_FUEL
from protocols.amounts import (
    Above,
    Amount,
    Best,
    Bucket,
    Excess,
    Group,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
    encode_amounts,
)
from protocols.proofs import StatementContext, needs_slots, open_amounts
from tests.support.statements import stated

SLOTS: Final = 2_976


def _slots(first: int, count: int, weight: int = 1) -> SlotForm:
    return SlotForm(((first, count, weight),))


def _each(seed: int) -> SlotForm:
    return SlotForm.of_each([1 + (seed + place * 7_919) % 999_983 for place in range(SLOTS)])


def _tiers(buckets: int, limits: int) -> Tiered:
    width = SLOTS // buckets
    ends, prices = tuple(range(1_000, 1_000 * limits + 1, 1_000)), tuple(range(1, limits + 2))
    parts = (Bucket(_slots(at * width, width), ends, prices) for at in range(buckets))
    return Tiered(tuple(parts))


def _peaks(groups: int, windows: int, highest: int = 0) -> Peaks:
    starts = [[group * windows + at for at in range(windows)] for group in range(groups)]
    members = (Group(tuple(_slots(at, 1) for at in group), 0) for group in starts)
    return Peaks(tuple(members), highest)


def _excess(slots: int, limits: int = 1) -> Excess:
    above = tuple(Above(100 * number, _slots(0, slots)) for number in range(1, limits + 1))
    return Excess(_slots(0, SLOTS), above)


QUESTIONS: Final[dict[str, list[Amount]]] = {
    "a flat sum": [Sum(_slots(0, SLOTS))],
    "a weight for each slot": [Sum(_each(1))],
    "ten of these": [Sum(_each(number)) for number in range(10)],
    "1,000 sums of a slot": [Sum(_slots(at, 1)) for at in range(1_000)],
    "100 readings": [Reading(at) for at in range(100)],
    "one tier": [_tiers(1, 1)],
    "4 buckets, 2 limits": [_tiers(4, 2)],
    "31 buckets, 4 limits": [_tiers(31, 4)],
    "100 buckets, 10 limits": [_tiers(100, 10)],
    "the highest of 8": [_peaks(1, 8)],
    "the highest of 100": [_peaks(1, 100)],
    "the highest of 2,976": [_peaks(1, SLOTS)],
    "3 of 31 daily peaks": [_peaks(31, 24, 3)],
    "excess, 40 slots": [_excess(40)],
    "excess, 2,976 slots": [_excess(SLOTS)],
    "excess, 4 limits": [_excess(SLOTS, 4)],
    "20 times excess": [_excess(40) for _ in range(20)],
    "the best of 12": [Best(tuple(map(_each, range(12))))],
}


def charged(amounts: list[Amount]) -> float:
    """Return the seconds that are charged for a proof over May."""
    size = len(encode_amounts(amounts))
    cost = cost_of_amounts(amounts, size, SLOTS, 31, 0)
    slots = SLOTS * SLOT_FUEL if needs_slots(amounts) else 0  # charged with the description
    return (cost.prove + slots) / SECOND_FUEL


def prove(amounts: list[Amount]) -> None:
    """Open the days, and prove, as the hub does."""
    days, (begin, end) = certified(), MAY.bounds(ZONE)
    about = StatementContext(
        SERIES.meter, SERIES.register, begin, end, 15, bytes(32), "supplier", "billing", bytes(16)
    )
    source, _ = stated(Certifier(SERIES, KEYS), days, amounts)
    open_amounts(about, source, amounts, SEED)


@pytest.mark.parametrize("name", QUESTIONS)
def test_prove(benchmark: Any, name: str) -> None:
    certified()
    benchmark.pedantic(prove, (QUESTIONS[name],), rounds=1)
    benchmark.extra_info["charged"] = charged(QUESTIONS[name])


def main() -> None:
    prove(QUESTIONS["a flat sum"])
    for name, amounts in QUESTIONS.items():
        started = time.process_time()
        prove(amounts)
        spent = time.process_time() - started
        paid = charged(amounts)
        print(
            f"{name:25} {1000 * spent:8.1f} ms, charged {1000 * paid:8.1f} ms: {paid / spent:5.2f}"
        )


if __name__ == "__main__":
    main()
