# SPDX-License-Identifier: Apache-2.0
"""The applet machine: starting an applet, asking it, and what the sandbox costs.

    pytest benchmarks/bench_machine.py --benchmark-only     each with its distribution
    python benchmarks/bench_machine.py                      a table, one core

The naive way to isolate an applet is a Python process of its own (`subprocess`, `-I -S`, asked
over a pipe); the naive way to run its loop is this Python. Both are measured in the same run.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.machine import host_calls as host
from hub.machine._running import Running
from hub.machine.bundle import Bundle, build_bundle
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from tests.support.applet_machine import BEGIN, DAY, REGISTER, Device, FixedClock, bundle, command

LOOPS = 1_000_000
LARGE = 200_000
LIVE = 200

# A price that changes every eight hours: a sum by runs, as `protocols.amounts` has it.
APPLET = f"""
def process(self, command):
    if command.ins == 0:
        return Response(command.data)
    if command.ins == 1:
        return Response(bytes({LARGE}))
    if command.ins == 2:
        return Response(self.loop({LOOPS}))
    if command.ins == 3:
        self.platform.clock.now()
        return Response()
    slots = self.platform.calendar.slots("{REGISTER}", {BEGIN}, {BEGIN + 31 * DAY})
    opened = self.platform.statements.open_amounts(
        "{REGISTER}", {BEGIN}, {BEGIN + 31 * DAY}, self.prices(len(slots.starts)), b"tariff")
    return Response(b"".join(opened.certified_days))

def prices(self, slots):
    import struct
    runs = [(first, min(32, slots - first), 3 + first // 32 % 2) for first in range(0, slots, 32)]
    numbers = 1, 0, len(runs), *(number for run in runs for number in run)
    return struct.pack("<%dq" % len(numbers), *numbers)

def loop(self, times):
    total = 0
    for number in range(times):
        total += number & 7
    return total.to_bytes(8, "big")
"""

NAIVE_APPLET = """
import sys
for line in sys.stdin:
    sys.stdout.write(line)
    sys.stdout.flush()
"""


@cache
def machine() -> AppletMachine:
    return AppletMachine.open()


@cache
def sample() -> Bundle:
    made = bundle(APPLET, limits="fuel = 100_000_000_000\nfuel_per_minute = 1_000_000_000_000")
    machine().compile(made)
    return made


class HurriedClock(FixedClock):
    """A minute passes whenever it is looked at, so that no allowance runs out."""

    def now(self) -> int:
        self.time += 60
        return self.time


@cache
def applet() -> AppletInstance:
    return machine().instance(sample(), Device(clock=HurriedClock()).platform)


def instantiate() -> None:
    program = machine()._program(sample())
    running = Running(program, host.Host(sample().manifest, None), 64 << 20, 10**9)
    running.close()


def start() -> None:
    fresh = machine().instance(sample(), Device().platform)
    fresh.start()
    fresh.discard()


def start_billing() -> None:
    fresh = machine().instance(billing(), Device().platform)
    fresh.start()
    fresh.discard()


@cache
def billing() -> Bundle:
    """Return the billing applet: 36 modules, `tariffs` among them."""
    root = Path(__file__).resolve().parents[1]
    key = Ed25519PrivateKey.generate()
    data = build_bundle(root / "applets" / "billing", key, b"bench", [root])
    made = Bundle.decode(data, {b"bench": key.public_key()})
    machine().compile(made)
    return made


def start_process() -> None:
    with naive_process() as process:
        ask_process(process)


def naive_process() -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-I", "-S", "-c", NAIVE_APPLET]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask_process(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("a command of some forty bytes, or so more\n")
    process.stdin.flush()
    assert process.stdout.readline()


def ask() -> None:
    assert applet().process(command(0, bytes(40)))[-2:] == b"\x90\x00"


def ask_with_call() -> None:
    applet().process(command(3))


def answer_large() -> None:
    assert len(applet().process(command(1))) == LARGE + 2


def send_large() -> None:
    assert len(applet().process(command(0, bytes(60_000)))) == 60_002


def state_month() -> None:
    assert len(applet().process(command(4))) == 31 * 6_000 + 2


def loop() -> None:
    applet().process(command(2))


def loop_natively() -> int:
    total = 0
    for number in range(LOOPS):
        total += number & 7
    return total


CASES: dict[str, Callable[[], Any]] = {
    "instantiate": instantiate,
    "start an applet": start,
    "start the billing applet": start_billing,
    "APDU in and back": ask,
    "... with a call to the platform": ask_with_call,
    "200 kB out": answer_large,
    "60 kB in and out": send_large,
    "a month's statement, 186 kB": state_month,
    "a loop of 10^6": loop,
    "the same loop natively": loop_natively,
    "start a process instead": start_process,
}


@pytest.mark.parametrize("name", CASES)
def test_machine(benchmark: Any, name: str) -> None:
    CASES[name]()
    benchmark(CASES[name])


def private_kib() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(
        int(line.split()[1])
        for line in text.splitlines()
        if line.startswith(("Private_Dirty", "Private_Clean"))
    )


def memory_of_live_applets() -> float:
    """Return the private KiB that each of `LIVE` applets takes, having answered once."""
    ask()
    before = private_kib()
    live = [machine().instance(sample(), Device().platform) for _ in range(LIVE)]
    for one in live:
        one.process(command(0, bytes(40)))
    return (private_kib() - before) / LIVE


def best(work: Callable[[], Any]) -> float:
    """Return the median of the faster half of some seconds' runs, in milliseconds."""
    work()
    times: list[float] = []
    end = time.perf_counter() + 1
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(sorted(times)[: len(times) // 2 + 1]) * 1_000


def main() -> None:
    measured = {name: best(work) for name, work in CASES.items()}
    for name, milliseconds in measured.items():
        print(f"{name:34} {milliseconds:9.3f} ms")
    process = naive_process()
    asked = best(lambda: ask_process(process))
    process.terminate()
    process.wait()
    print(f"{'ask a process instead':34} {asked:9.3f} ms")
    ratio = measured["a loop of 10^6"] / measured["the same loop natively"]
    print(f"{'loop, inside to outside':34} {ratio:9.2f}")
    ratio = measured["start a process instead"] / measured["start an applet"]
    print(f"{'start, process to applet':34} {ratio:9.2f}")
    print(f"{f'memory of each of {LIVE} applets':34} {memory_of_live_applets():9.0f} KiB")


if __name__ == "__main__":
    main()
