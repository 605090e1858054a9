# SPDX-License-Identifier: Apache-2.0
"""Settlement, forecasts and openings here, in two processes, and on Ray where it is installed.

    settlement   METERLET_BENCH_HOMES (192) answers about a month of quarter-hours, verified and
                 entered; no hub is waited for
    forecasts    METERLET_BENCH_ORIGINS (96) days from which three methods forecast a week
    openings     METERLET_BENCH_REGIONS (32) sums of a month of quarter-hours of 60 homes, of one
                 round each

All rows are of one run: seconds; processor seconds of this process, which is what no other takes
over, and of those that it has begun (Ray's are not among them). Ratios are to the first row. Each
way must come to the same.

`python -m benchmarks.bench_fan_out` prints the tables.
"""

import math
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bench_aggregation import HOMES, MONTH, SLOTS, collect_with, encryptor
from protocols.metrology import Period
from tests.support.aggregation import announce, homes, private_key, terms
from tests.support.settled_crowd import certified_crowd, hourly_index, settled_crowd
from utility_server.fan_out import FanOut, InProcesses, InThisProcess, InThreads, OnRay
from utility_server.grid.mdms.forecasts import evaluate
from utility_server.grid.mdms.load_curves import LoadCurve
from utility_server.grid.mdms.opening import open_batch
from utility_server.keys import write_secret
from utility_server.retail.settlement import settle

CUSTOMERS = int(os.environ.get("METERLET_BENCH_HOMES", "192"))
ORIGINS = int(os.environ.get("METERLET_BENCH_ORIGINS", "96"))
REGIONS = int(os.environ.get("METERLET_BENCH_REGIONS", "32"))
MARCH = Period.month(2025, 3)
HALF_HOUR = 1800
YEAR = 365 * 48


Took = tuple[float, float, float]
"""Seconds, processor seconds here, and of processes that were waited for."""


def stopwatch() -> Callable[[], Took]:
    """Return what tells the time that has passed since."""

    def now() -> Took:
        uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        here, others = (use.ru_utime + use.ru_stime for use in uses)
        return time.perf_counter(), here, others

    began = now()

    def passed() -> Took:
        seconds, here, others = (b - a for a, b in zip(began, now(), strict=True))
        return seconds, here, others

    return passed


@contextmanager
def settling(folder: Path) -> Iterator[Callable[[FanOut], Any]]:
    """Yield what settles a crowd; the homes have proved what they answer before."""
    crowd, places = certified_crowd(CUSTOMERS, MARCH, 15), iter(range(100))
    known: dict[bytes, bytes] = {}

    def work(how: FanOut) -> Any:
        utility, members, hubs = settled_crowd(folder / f"{next(places)}", crowd, MARCH)
        hubs.known = known
        with utility:
            passed = stopwatch()
            done = settle(utility, hourly_index(MARCH), MARCH, members, hubs, how=how)
            took = passed()
            assert len(done.settled) == CUSTOMERS
            return took, [entry.digest for entry in utility.ledger.entries()]

    work(InThisProcess())  # makes the answers
    yield work


@contextmanager
def forecasting(_: Path) -> Iterator[Callable[[FanOut], Any]]:
    """Yield what compares forecasts of a year of half-hours."""
    begin, _end = Period.month(2025, 1).bounds("Europe/Berlin")
    slots = tuple((begin + HALF_HOUR * n, begin + HALF_HOUR * (n + 1)) for n in range(YEAR))
    uses = tuple(
        round(50_000 + 20_000 * math.sin(n / 7.6) + 9_000 * math.sin(n / 53.5) + n * 7919 % 4001)
        for n in range(YEAR)
    )
    curve = LoadCurve(
        "North", "Europe/Berlin", 30, slots[0][0], slots[-1][1], slots, uses, 60, 60, 0, 20, ()
    )

    def work(how: FanOut) -> Any:
        passed = stopwatch()
        found = evaluate(curve, 7, ORIGINS, how=how)
        return passed(), found

    work(InThisProcess())  # imports what it needs
    yield work


@contextmanager
def opening(folder: Path) -> Iterator[Callable[[FanOut], Any]]:
    """Yield what opens rounds as an MDMS does that serves several at a time."""
    (folder / "keys").mkdir()
    write_secret(folder / "keys" / "paillier.key", private_key(2048).encode())
    members = homes(HOMES, SLOTS)
    announced = announce(members, terms(2048, 15, MONTH, exponent_bits=256))
    batch = collect_with(announced, members, encryptor(2048, 256)).batch().encode()
    item = announced.encode(), batch

    def work(how: FanOut) -> Any:
        passed = stopwatch()
        with how.staying() as do:
            opens = partial(do, partial(open_batch, folder))
            found = list(InThreads(4).run(opens, [item] * REGIONS))
        return passed(), found

    yield work


def table(name: str, made: Callable[[Path], Any]) -> str:
    """Do the same work each way, and return what it took."""
    ways: dict[str, FanOut] = {"this process": InThisProcess(), "two processes": InProcesses(2)}
    if find_spec("ray") is not None:
        ways["Ray"] = OnRay()
    lines = [f"{name:<26}{'s':>7}{'here':>8}{'others':>8}{'s, ratio':>10}{'cpu, ratio':>12}"]
    with tempfile.TemporaryDirectory() as folder, made(Path(folder)) as work:
        first = None
        for way, how in ways.items():
            (seconds, here, others), found = work(how)
            first = first or (seconds, here, found)
            assert found == first[2], "each way comes to the same"
            cpu = f"{(here + others) / first[1]:12.2f}" if way != "Ray" else f"{'-':>12}"
            took = f"{seconds:7.1f}{here:8.1f}{others:8.1f}{seconds / first[0]:10.2f}{cpu}"
            lines.append(f"{way:<26}{took}")
    return "\n".join(lines)


def tables() -> str:
    """Return all of them."""
    return "\n\n".join(
        (
            table(f"settlement of {CUSTOMERS}", settling),
            table(f"forecasts from {ORIGINS} days", forecasting),
            table(f"openings of {REGIONS} regions", opening),
        )
    )


def bench_work_that_is_spread(benchmark: BenchmarkFixture) -> None:
    made: str = benchmark.pedantic(tables, rounds=1)  # type: ignore[no-untyped-call]  # pytest-benchmark has no types for it
    print("\n" + made)


if __name__ == "__main__":
    print(tables())
