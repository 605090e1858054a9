# SPDX-License-Identifier: Apache-2.0
"""A ledger audited here, in two processes, and on Ray where it is installed.

METERLET_BENCH_BILLS (512) bills of a week of quarter-hours. All rows are of one run: seconds, and
processor seconds of this process and of those that it has waited for, by those of the first row.

`python -m benchmarks.bench_audit` prints the table.
"""

import os
import resource
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from tests.support.answered_crowd import answered_crowd
from utility_server.fan_out import FanOut, InProcesses, InThisProcess, OnRay
from utility_server.retail.entering import enter_answers
from utility_server.retail.parted_audit import audit
from utility_server.retail.utility import Utility

BILLS = int(os.environ.get("METERLET_BENCH_BILLS", "512"))
AT_ONCE = 64


def processor_seconds() -> float:
    """Return what this process and those that it has waited for have taken."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def measure(utility: Utility, how: FanOut) -> tuple[float, float]:
    """Return the seconds of an audit, and its processor seconds."""
    began, before = time.perf_counter(), processor_seconds()
    assert audit(utility, how).checked == BILLS
    return time.perf_counter() - began, processor_seconds() - before


def table() -> str:
    """Audit one ledger each way, and return what it took."""
    ways: dict[str, FanOut] = {"this process": InThisProcess(), "two processes": InProcesses(2)}
    if find_spec("ray") is not None:
        ways["Ray"] = OnRay()
    name = f"{BILLS} bills"
    lines = [f"{name:<20}{'s':>8}{'cpu s':>8}{'s, ratio':>10}{'cpu, ratio':>12}"]
    with (
        tempfile.TemporaryDirectory() as folder,
        Utility.create(Path(folder) / "utility", now=lambda: 1_750_000_000) as utility,
    ):
        crowd = answered_crowd(utility, BILLS, minutes=15)
        for at in range(0, BILLS, AT_ONCE):
            enter_answers(utility, crowd.nonces[at : at + AT_ONCE])
        first = None
        for name, how in ways.items():
            seconds, cpu = measure(utility, how)
            first = first or (seconds, cpu)
            ratios = f"{seconds / first[0]:10.2f}{cpu / first[1]:12.2f}"
            lines.append(f"{name:<20}{seconds:8.1f}{cpu:8.1f}{ratios}")
    return "\n".join(lines)


def bench_an_audit_in_parts(benchmark: BenchmarkFixture) -> None:
    made: str = benchmark.pedantic(table, rounds=1)  # type: ignore[no-untyped-call]  # pytest-benchmark has no types for it
    print("\n" + made)


if __name__ == "__main__":
    print(table())
