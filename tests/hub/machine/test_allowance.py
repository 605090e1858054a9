# SPDX-License-Identifier: Apache-2.0
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.machine.allowance import Allowance
from hub.machine.errors import AppletFault, FaultKind
from hub.machine.machine import AppletMachine
from protocols.platform.services import Platform
from tests.support.applet_machine import BEGIN, Device, bundle, command, start

ECHO = "def process(self, command): return Response(command.data)"
LOOP = """
def process(self, command):
    while command.ins: pass
    return Response(b"fine")
"""


def test_so_many_commands_a_minute_and_no_more() -> None:
    allowance = Allowance(3, 10**9)
    assert [allowance.admit(100) for _ in range(5)] == [True, True, True, False, False]
    assert [allowance.admit(120) for _ in range(2)] == [True, False]
    assert [allowance.admit(1_000_000) for _ in range(4)] == [True, True, True, False]


def test_fuel_that_is_owed_is_waited_for() -> None:
    allowance = Allowance(1000, 600)
    assert allowance.admit(0)
    allowance.charge(1_800)  # two minutes' worth beyond what was there
    assert not allowance.admit(60)
    assert not allowance.admit(120)
    assert allowance.admit(121)


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    allowance = Allowance(1, 1)
    assert allowance.admit(1_000)
    assert not allowance.admit(0)
    assert not allowance.admit(59)
    assert allowance.admit(60)


@given(
    st.integers(1, 50),
    st.integers(1, 10_000),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20_000)), max_size=60),
)
def test_nobody_gets_more_than_the_rate_and_one_bucket_and_one_command(
    commands: int, fuel: int, steps: list[tuple[int, int]]
) -> None:
    allowance = Allowance(commands, fuel)
    now = admitted = burnt = largest = 0
    for wait, cost in steps:
        now += wait
        if allowance.admit(now):
            admitted += 1
            burnt += cost
            largest = max(largest, cost)
            allowance.charge(cost)
    assert admitted <= commands + commands * now // 60
    assert burnt <= fuel + fuel * now // 60 + largest


def test_an_applet_that_asks_too_much_waits_and_its_neighbour_does_not(
    machine: AppletMachine,
) -> None:
    greedy, device = start(
        machine, LOOP, limits="fuel = 100_000_000\nfuel_per_minute = 200_000_000"
    )
    neighbour, _ = start(machine, ECHO)

    def kind_of(ins: int) -> FaultKind:
        with pytest.raises(AppletFault) as caught:
            greedy.process(command(ins))
        return caught.value.kind

    kinds = [kind_of(1) for _ in range(6)]
    assert kinds[0] is FaultKind.OUT_OF_FUEL
    assert kinds[-3:] == [FaultKind.OUT_OF_ALLOWANCE] * 3
    assert greedy.usage.fuel == 0
    assert kind_of(0) is FaultKind.OUT_OF_ALLOWANCE
    assert neighbour.process(command(0, b"hi")) == b"hi\x90\x00"
    device.clock.time = BEGIN + 60
    assert greedy.process(command(0)) == b"fine\x90\x00"


def test_an_applet_is_answered_while_another_is_busy(machine: AppletMachine) -> None:
    neighbour, _ = start(machine, ECHO)
    begun, done, seen = threading.Event(), threading.Event(), list[bytes]()

    class SlowClock:
        def now(self) -> int:
            if begun.is_set():
                assert done.wait(60)
            return BEGIN

    good = Device().platform
    platform = Platform(
        good.statements, good.calendar, good.store, SlowClock(), good.signatures, good.log
    )
    body = "def process(self, c): return Response(str(self.platform.clock.now()).encode())"
    busy = machine.instance(bundle(body), platform)
    busy.start()
    begun.set()
    thread = threading.Thread(target=lambda: seen.append(busy.process(command())))
    thread.start()
    assert [neighbour.process(command(0, b"hi")) for _ in range(3)] == [b"hi\x90\x00"] * 3
    assert not seen
    done.set()
    thread.join()
    assert seen == [str(BEGIN).encode() + b"\x90\x00"]


def test_memory_survives_a_wait(machine: AppletMachine) -> None:
    applet, device = start(
        machine,
        """
count = 0
def process(self, command):
    self.count += 1
    return Response(bytes([self.count]))
""",
        limits="commands_per_minute = 2",
    )
    assert applet.process(command())[0] == 1
    assert applet.process(command())[0] == 2
    with pytest.raises(AppletFault):
        applet.process(command())
    device.clock.time = BEGIN + 30
    assert applet.process(command())[0] == 3
