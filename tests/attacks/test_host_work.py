# SPDX-License-Identifier: Apache-2.0
"""Applets and recipients that make the hub work: by what they ask, how often, and for how long.

What is measured is processor time of this process, and memory; never time by the wall. Bounds are
several times what is measured, and far below what each attack took before its work was paid for.
"""

import struct
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from hub.applet_host.jobs import MOST_OF_APPLET, SW_BUSY
from hub.disclosure.refusals import EACH
from hub.machine import limits
from hub.machine.machine import AppletMachine
from protocols.amounts import (
    Above,
    AmountsMalformed,
    Bucket,
    Excess,
    Group,
    Metered,
    Peaks,
    QuotientRule,
    SlotForm,
    Sum,
    Tiered,
    Total,
    decode_amounts,
)
from protocols.metrology import Period
from tests.support.asking import APPLET, ASK, COUNT, MARCH, REPEAT, VARY, AskedHome, asked_home
from tests.support.sharing import Home, new_home
from tests.support.waiting import wait_until

SLOTS: Final = 2_972
ALL: Final = SlotForm(((0, SLOTS, 1),))
BILL: Final = Sum(ALL)
TOO_FINE: Final = Sum(SlotForm(((5, 1, 1),)))
LONG: Final = Excess(SlotForm(()), (Above(100, ALL),))
"""Some two seconds of proof."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail where the block takes more of this process's time."""
    started = time.process_time()
    yield
    spent = time.process_time() - started
    assert spent < seconds, f"{spent:.2f} s of processor time"


@contextmanager
def at_most_memory(mebibytes: float) -> Iterator[None]:
    """Fail where the block takes more of this process's memory, at its peak."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 2**20, f"{peak / 2**20:.0f} MiB"


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[AskedHome]:
    with asked_home(tmp_path, machine) as made:
        yield made


def refusals(home: AskedHome) -> list[int]:
    """How many refusals each entry of the log stands for, so far."""
    entries = home.device.disclosure.log.entries("refusal")
    return [entry.facts.get("count", number) for number, entry in enumerate(entries, start=1)]


def size_of_log(home: AskedHome) -> int:
    (size,) = home.device.database.connection.execute(
        "SELECT coalesce(sum(length(body)), 0) FROM disclosure_entry WHERE kind = 'refusal'"
    ).fetchone()
    return int(size)


# Refusals


def test_a_flood_of_refusals_in_one_command_is_short_and_summed_up(home: AskedHome) -> None:
    home.install("one", "linear")
    with at_most(1):
        answer = home.ask("one", [TOO_FINE], REPEAT, 1_000)
    assert int.from_bytes(answer.data, "big") == 1_000
    assert refusals(home) == [*range(1, EACH + 1), 16, 32, 64, 128, 256, 512]
    assert size_of_log(home) < 8_000


def test_other_questions_each_time_are_paid_for_until_the_fuel_is_gone(home: AskedHome) -> None:
    home.install("one", "linear")
    with at_most(2.5):
        answer = home.ask("one", [TOO_FINE], VARY, 60_000)
    assert (answer.sw, answer.data) == (0x6400, b"")
    # The command was undone; how many there were is on record, by the rule that they broke.
    assert len(refusals(home)) <= 2
    counts = [one.facts.get("count", 1) for one in home.device.disclosure.log.entries("refusal")]
    assert all(count & (count - 1) == 0 for count in counts)
    assert max(counts) >= 2 * EACH


def test_a_command_that_was_refused_is_refused_again_in_no_time(home: AskedHome) -> None:
    home.install("one", "linear")
    assert home.ask("one", [TOO_FINE]).sw == 0x6985
    with at_most(500 * 0.005):
        for _ in range(500):
            assert home.ask("one", [TOO_FINE]).sw == 0x6985
    assert refusals(home)[-1] == 256
    assert size_of_log(home) < 8_000


def test_a_refusal_is_not_remembered_beyond_what_it_follows_from(home: AskedHome) -> None:
    home.install("one", "linear", answers=1)
    [consent] = home.device.disclosure.consents()
    assert home.ask("one", [BILL]).sw == 0x9000
    other = Sum(SlotForm(((0, SLOTS, -1),)))
    for _ in range(3):
        assert home.ask("one", [other]).sw == 0x6983
    assert home.ask("one", [BILL]).sw == 0x9000  # the same question counts once
    home.device.disclosure.revoke(consent.number)
    for _ in range(2):
        assert home.ask("one", [BILL]).sw == 0x6985  # and is not told without a consent
        assert home.ask("one", [other]).sw == 0x6985
    home.device.disclosure.grant(consent.terms)
    assert home.ask("one", [BILL]).sw == 0x9000
    assert len(home.device.disclosure.releases()) == 1


def test_an_answer_told_again_is_no_way_to_say_more_by_an_error(home: AskedHome) -> None:
    home.install("one", "linear", applet=APPLET.replace(
        "return Response(repr(opened.values).encode() + b\" \" + opened.proof)",
        "return Response(status=0x6A80 + opened.values[0] % 16)",
    ))  # fmt: skip
    for _ in range(3):
        assert home.ask("one", [BILL]).sw == 0x6400
    assert len(home.device.disclosure.releases()) == 1


# Descriptions


def test_a_description_of_a_few_bytes_does_not_unfold() -> None:
    """Windows that claim so many slots: 1 GB of places, before the claim was looked at."""
    packed = struct.pack("<11q", 1, 2, 1, 0, 2, 1, 0, 1 << 24, 1, 1, 1 << 23)
    packed += struct.pack("<2q", 1 << 24, 1)
    with at_most_memory(1), pytest.raises(AmountsMalformed, match="two windows"):
        decode_amounts(packed)


def test_a_question_that_is_too_much_is_refused_before_it_is_built(home: AskedHome) -> None:
    home.install("one", "linear", "blocks", "demand")
    sums = [Sum(SlotForm(((place % SLOTS, 1, 1 + place),))) for place in range(1_600)]
    one = SlotForm(((0, SLOTS, 1),))
    blocks = Tiered(tuple(Bucket(one, tuple(range(1, 5)), (1,) * 5) for _ in range(500)))
    for amounts in (sums, [blocks]):
        with at_most(1):
            assert home.ask("one", amounts).sw == 0x6A84
        with at_most_memory(60):
            assert home.ask("one", amounts).sw == 0x6A84
    assert home.device.disclosure.releases() == []


def test_a_period_of_two_centuries_is_refused_at_once(home: AskedHome) -> None:
    home.install("one", "linear")
    begin = MARCH[0]
    for end in (begin + 86_400 * 365 * 150, (1 << 40) - 1):
        with at_most(0.5):
            assert home.ask("one", [BILL], period=(begin, end)).sw in {0x6A80, 0x6A83}


# Proofs that take long


def peaks(count: int) -> Peaks:
    """Return a peak of so many slots, spread over the whole month."""
    places = (at * (SLOTS - 1) // (count - 1) for at in range(count))
    return Peaks((Group(tuple(SlotForm(((at, 1, 1),)) for at in places), 0),))


def test_a_long_proof_is_made_in_the_background_while_others_are_answered(home: AskedHome) -> None:
    home.install("one", "excess")
    home.install("two", "linear")
    assert home.ask("two", [BILL]).sw == 0x9000
    disclosure = home.device.disclosure
    started = time.process_time()
    assert home.ask("one", [LONG]).sw == SW_BUSY
    begun = time.process_time() - started
    assert begun < 1, f"{begun:.2f} s of processor time"
    assert [one.recipient for one in disclosure.releases()] == ["two"]  # nothing is told yet
    started, asked = time.process_time(), 0

    def is_answered() -> bool:
        nonlocal asked
        asked += 1
        assert home.send("two", COUNT).sw == 0x9000
        return home.ask("one", [LONG]).sw == 0x9000

    wait_until(is_answered)
    assert time.process_time() - started < 0.02 * asked + 1  # proving took 2 s, elsewhere
    answer = home.ask("one", [LONG])
    uses = [use for day in home.device.main.uses(Period.month(2025, 3)) for use in day.uses]
    assert answer.data.startswith(f"({LONG.value_of(uses)},) ".encode())
    assert home.ask("one", [LONG]).data == answer.data
    assert [one.recipient for one in disclosure.releases()] == ["two", "one"]
    assert disclosure.log.verify()


def test_a_long_number_goes_the_same_way(home: AskedHome) -> None:
    numbers = APPLET.replace("open_amounts(", "open_numbers(").replace(
        '"1-0:1.8.0*255"', 'bytes.fromhex("0100010800ff")'
    )
    home.install("one", "excess", "linear", applet=numbers)
    total = Total((Metered(0, LONG),), (), 100, QuotientRule.HALF_UP)
    assert home.ask("one", [total]).sw == SW_BUSY
    wait_until(lambda: home.ask("one", [total]).sw == 0x9000)
    answer = home.ask("one", [total])
    uses = [use for day in home.device.main.uses(Period.month(2025, 3)) for use in day.uses]
    assert answer.data.startswith(f"({total.value_of([uses])},) ".encode())
    assert len(home.device.disclosure.releases()) == 1


def test_what_was_revoked_meanwhile_is_not_told(home: AskedHome) -> None:
    home.install("one", "excess")
    [consent] = home.device.disclosure.consents()
    assert home.ask("one", [LONG]).sw == SW_BUSY
    home.device.disclosure.revoke(consent.number)
    wait_until(lambda: home.ask("one", [LONG]).sw != SW_BUSY)
    assert home.ask("one", [LONG]).sw == 0x6985
    assert home.device.disclosure.releases() == []


def test_one_applet_does_not_fill_the_room_for_jobs(home: AskedHome) -> None:
    home.install("one", "demand", answers=100)
    home.install("two", "excess")
    for count in range(1_500, 1_500 + 3 * MOST_OF_APPLET):
        assert home.ask("one", [peaks(count)]).sw == SW_BUSY
    assert home.ask("two", [LONG]).sw == SW_BUSY
    wait_until(lambda: home.ask("two", [LONG]).sw == 0x9000)


def test_a_hub_that_stops_forgets_its_jobs_and_nothing_else(home: AskedHome) -> None:
    home.install("one", "excess")
    assert home.ask("one", [LONG]).sw == SW_BUSY
    runtime = home.card.runtime
    runtime.close()  # type: ignore[attr-defined]  # as `Device.close` does
    assert home.device.disclosure.releases() == []
    assert home.device.disclosure.log.verify()


# What else an applet can make the hub do

LOG: Final = """
    from applets.sdk import Applet, Command, Response

    class Asker(Applet):
        def process(self, command: Command) -> Response:
            for _ in range(1000):
                {line}
            return Response()
    """


@pytest.mark.parametrize(
    "line",
    [
        'self.platform.log.write(chr(10) * 16_000)',
        'self.platform.signatures.verify_ed25519(bytes(32), bytes(9_000), bytes(64))',
        'self.platform.calendar.slots("1-0:1.8.0*255", {begin}, {end})',
        'self.platform.store.put(str(_).encode(), bytes(900))',
    ],
    ids=["log lines", "signatures", "calendars", "store"],
)  # fmt: skip
def test_calls_without_end_take_no_more_than_two_seconds(home: AskedHome, line: str) -> None:
    begin, end = MARCH
    source = LOG.replace("{line}", line).replace("{begin}", str(begin)).replace("{end}", str(end))
    home.install("one", applet=source)
    with at_most(2.5):
        assert home.send("one", ASK).sw in {0x9000, 0x6400}
    lines = home.device.database.connection.execute("SELECT count(*) FROM applet_log").fetchone()
    assert lines[0] <= 1_000


SLOW: Final = """
    from applets.sdk import Applet, Command, Response

    class Asker(Applet):
        def process(self, command: Command) -> Response:
            held, at, known = bytearray(40 << 20), 1, set(range(300_000))
            while True:
                {line}
    """


@pytest.mark.parametrize(
    "line",
    [
        "pass",
        "at = (at * 1103515245 + 12345) % len(held); held[at] = 1",
        "at = (at * 1103515245 + 12345) % 2000003; at in known",
        "held[::64]",
    ],
    ids=["nothing", "divisions and leaps", "a large set", "strides"],
)
def test_no_manifest_buys_more_than_a_command_may_have(home: AskedHome, line: str) -> None:
    home.install("one", applet=SLOW.replace("{line}", line))
    with at_most(4):  # 2 s, but for what other processes do to the processor's caches
        assert home.send("one", ASK).sw == 0x6400
    [applet] = running(home)
    assert applet.instance.usage.fuel <= limits.MAX_FUEL


def test_the_time_of_a_command_includes_that_of_the_servers_it_calls(
    tmp_path: Path, machine: AppletMachine
) -> None:
    with new_home(tmp_path, machine) as sharing:
        sharing.install("ask", following="bee")
        sharing.install("bee", friend="ask")
        with at_most(4):
            for _ in range(2):
                assert sharing.send("ask", 1, b"loop").sw == 0x6982
        spent = [one.instance.usage.fuel for one in running(sharing)]
        assert sum(spent) < 1.5 * 5_000_000_000  # the manifest's fuel, of which the server had half


def running(home: AskedHome | Home) -> list[Any]:
    return list(home.card.runtime._running.values())  # type: ignore[attr-defined]
