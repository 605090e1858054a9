# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.machine.errors import AppletFault, FaultKind
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from hub.machine.manifest import Every, Manifest, Output
from hub.machine.raw import (
    OUTPUT_COMPONENT,
    OutputBoard,
    RawApplet,
    Released,
    at_resolution,
    boundary,
)
from hub.vault.database import Database
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Platform, Use
from protocols.told_outputs import NOT_SET, ToldOutput
from tests.support.applet_machine import RAW_MANIFEST, REGISTER, Device, bundle

AID: Final = b"\xf0SMH\x82"
DAY: Final = 86_400
MIDNIGHT: Final = 19_800 * DAY
GET: Final = b"\x80\xca\x00\x00"
MANIFEST: Final = Manifest.from_toml(RAW_MANIFEST.format(limits=""))
COUNTING: Final = """
count = 0
def update(self):
    Sample.count += 1
    self.platform.outputs.set("hours", Sample.count.to_bytes(4, "big"))

def process(self, command): raise RuntimeError("nobody asks a raw applet")
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "hub.db", [OUTPUT_COMPONENT], key=bytes(32)) as opened:
        yield opened


class Ledger:
    def __init__(self) -> None:
        self.released: list[Released] = []
        self.refuses = False

    def permit(self, release: Released) -> None:
        if self.refuses:
            raise Refused(Refusal.NO_CONSENT)
        self.released.append(release)


class Raw:
    """A raw applet with everything around it."""

    def __init__(self, machine: AppletMachine, database: Database, body: str) -> None:
        self.ledger, self.faults = Ledger(), list[AppletFault]()
        self.board = OutputBoard(database, AID, MANIFEST, self.ledger.permit)
        self.board.install(MIDNIGHT + 5)
        good = Device().platform
        platform = Platform(
            good.statements,
            good.calendar,
            good.store,
            good.clock,
            good.signatures,
            good.log,
            good.readings,
            self.board,
        )
        self.instance: AppletInstance = machine.instance(
            bundle(body, manifest=RAW_MANIFEST, limits="fuel = 100_000_000"), platform
        )
        self.applet = RawApplet(self.instance, self.board, database, self.faults.append)

    def value(self) -> bytes:
        return self.board.answer(GET)


def answer(time: int, value: int) -> bytes:
    return time.to_bytes(8, "big") + value.to_bytes(4, "big") + b"\x90\x00"


def not_set(time: int) -> bytes:
    return time.to_bytes(8, "big") + bytes(4) + b"\x62\x86"


def test_what_is_set_leaves_at_the_next_boundary(
    machine: AppletMachine, database: Database
) -> None:
    raw = Raw(machine, database, COUNTING)
    assert raw.applet.tick(MIDNIGHT + 10) == []  # sets 1, in its own time
    assert raw.value() == b"\x69\x85"
    assert raw.applet.tick(MIDNIGHT + DAY - 1) == []
    released = raw.applet.tick(MIDNIGHT + DAY + 600)
    assert [(one.boundary, one.value) for one in released] == [(MIDNIGHT + DAY, b"\0\0\0\1")]
    assert raw.value() == answer(MIDNIGHT + DAY, 1)  # although it has set 2 by now
    assert raw.applet.tick(MIDNIGHT + DAY + 700) == []
    assert raw.value() == answer(MIDNIGHT + DAY, 1)
    raw.applet.tick(MIDNIGHT + 2 * DAY)
    assert raw.value() == answer(MIDNIGHT + 2 * DAY, 2)
    assert raw.ledger.released == [*released, raw.ledger.released[-1]]


def test_an_output_that_was_never_set_is_told_as_not_set_and_not_as_zeros(
    machine: AppletMachine, database: Database
) -> None:
    raw = Raw(machine, database, "def update(self):\n    pass")
    raw.applet.tick(MIDNIGHT + 10)
    [released] = raw.applet.tick(MIDNIGHT + DAY)
    assert not released.is_set
    told = raw.value()
    assert told == (MIDNIGHT + DAY).to_bytes(8, "big") + bytes(4) + b"\x62\x86"
    assert len(told) == len(answer(0, 0))
    assert ToldOutput.of(told[:-2], NOT_SET) == ToldOutput(MIDNIGHT + DAY, None)
    raw.board.set("hours", bytes(4))  # zeros that the applet has set are a value
    raw.applet.tick(MIDNIGHT + 2 * DAY)
    assert raw.value() == answer(MIDNIGHT + 2 * DAY, 0)
    assert ToldOutput.of(raw.value()[:-2], 0x9000).value == bytes(4)
    with pytest.raises(ValueError, match="not an output"):
        ToldOutput.of(raw.value()[:8], 0x9000)
    with pytest.raises(ValueError, match="not an output"):
        ToldOutput.of(bytes(8) + b"\1", NOT_SET)


@pytest.mark.parametrize(
    ("now", "begin"),
    [
        ("2026-03-31T23:59", "2026-03-01T00:00"),
        ("2026-04-01T00:00", "2026-04-01T00:00"),
        ("2026-01-15T12:00", "2026-01-01T00:00"),
        ("2026-10-31T23:59", "2026-10-01T00:00"),
    ],
)
def test_an_output_by_the_month_leaves_when_the_month_ends_at_home(now: str, begin: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    time, expected = (datetime.fromisoformat(t).replace(tzinfo=berlin) for t in (now, begin))
    monthly = Output("total", 4, every=Every.MONTH)
    assert boundary(monthly, int(time.timestamp()), "Europe/Berlin") == expected.timestamp()


def test_a_month_of_an_output_is_released_once(database: Database) -> None:
    ledger = Ledger()
    text = RAW_MANIFEST.replace("every_hours = 24", 'every = "month"')
    manifest = Manifest.from_toml(text.format(limits=""))
    board = OutputBoard(database, AID, manifest, ledger.permit, "Europe/Berlin")
    board.install(MIDNIGHT)
    months = {
        release.boundary
        for day in range(100)
        for hour in (0, 13)
        for release in board.release_due(MIDNIGHT + day * DAY + hour * 3600)
    }
    local = [datetime.fromtimestamp(one, ZoneInfo("Europe/Berlin")) for one in sorted(months)]
    assert len(ledger.released) == len(months) == 3
    assert {(one.day, one.hour) for one in local} == {(1, 0)}


def test_a_hub_that_was_off_releases_once(machine: AppletMachine, database: Database) -> None:
    raw = Raw(machine, database, COUNTING)
    raw.applet.tick(MIDNIGHT + 10)
    raw.applet.tick(MIDNIGHT + 40 * DAY + 17)
    assert raw.value() == answer(MIDNIGHT + 40 * DAY, 1)
    assert len(raw.ledger.released) == 1


def test_a_clock_that_is_set_back_releases_nothing(
    machine: AppletMachine, database: Database
) -> None:
    raw = Raw(machine, database, COUNTING)
    raw.applet.tick(MIDNIGHT + 3 * DAY)
    raw.applet.tick(MIDNIGHT + DAY)
    raw.applet.tick(MIDNIGHT + 3 * DAY + 1)
    assert len(raw.ledger.released) == 1


def test_what_the_ledger_refuses_stays_in(machine: AppletMachine, database: Database) -> None:
    raw = Raw(machine, database, COUNTING)
    raw.applet.tick(MIDNIGHT + 10)
    raw.applet.tick(MIDNIGHT + DAY)
    raw.ledger.refuses = True
    assert raw.applet.tick(MIDNIGHT + 2 * DAY) == []
    assert raw.value() == answer(MIDNIGHT + DAY, 1)
    raw.ledger.refuses = False
    assert raw.applet.tick(MIDNIGHT + 2 * DAY + 5) == []  # not afterwards, either
    raw.applet.tick(MIDNIGHT + 3 * DAY)
    assert raw.value()[:8] == (MIDNIGHT + 3 * DAY).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("update", "kind"),
    [
        ("while True: pass", FaultKind.OUT_OF_FUEL),
        ("1 // 0", FaultKind.CRASH),
        ("self.platform.outputs.set('hours', bytes(5))", FaultKind.CRASH),
        ("self.platform.outputs.set('other', bytes(4))", FaultKind.CRASH),
        ("self.platform.outputs.set('hours', b'half'); 1 // 0", FaultKind.CRASH),
    ],
)
def test_an_applet_that_breaks_releases_what_it_held_on_time(
    machine: AppletMachine, database: Database, update: str, kind: FaultKind
) -> None:
    raw = Raw(machine, database, f"def update(self):\n    {update}\ndef process(self, c): pass")
    raw.applet.tick(MIDNIGHT + 10)
    raw.applet.tick(MIDNIGHT + DAY)
    assert raw.value() == not_set(MIDNIGHT + DAY)
    assert [fault.kind for fault in raw.faults] == [kind, kind]


def test_recipients_are_answered_without_the_applet(
    machine: AppletMachine, database: Database
) -> None:
    raw = Raw(machine, database, COUNTING)
    raw.applet.tick(MIDNIGHT + DAY)
    raw.instance.discard()
    for command, response in {
        GET: not_set(MIDNIGHT + DAY),
        GET + b"\0": not_set(MIDNIGHT + DAY),
        GET + b"\0\0\0": not_set(MIDNIGHT + DAY),
        b"\x80\xca\x00\x01": b"\x6a\x88",
        b"\x80\xca\xff\xff": b"\x6a\x88",
        b"\x80\x10\x00\x00": b"\x6d\x00",
        b"\x00\xca\x00\x00": b"\x6e\x00",
        b"\x80\xca": b"\x67\x00",
        GET + b"\1a": b"\x67\x00",
    }.items():
        assert raw.board.answer(command) == response
    assert not raw.instance.is_started


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutputBoard]:
    with Database(
        tmp_path_factory.mktemp("raw") / "hub.db", [OUTPUT_COMPONENT], key=bytes(32)
    ) as opened:
        made = OutputBoard(opened, AID, MANIFEST, lambda _: None)
        made.install(MIDNIGHT)
        yield made


@given(command=st.binary(max_size=10))
def test_any_command_is_answered_with_a_status_word(board: OutputBoard, command: bytes) -> None:
    refusals = {b"\x67\x00", b"\x69\x85", b"\x6a\x88", b"\x6d\x00", b"\x6e\x00"}
    assert board.answer(command) in refusals


def test_uninstalling_forgets(machine: AppletMachine, database: Database) -> None:
    raw = Raw(machine, database, COUNTING)
    raw.board.uninstall()
    assert not database.connection.execute("SELECT * FROM applet_output").fetchall()


def test_a_resolution_merges_slots_and_keeps_the_worst_state() -> None:
    use = Use((0, 900, 1800, 2700, 3600), (1, 2, 3, 4, 5), bytes((0, 0, 1, 3, 0)))
    assert at_resolution(use, 15, 15) == use
    assert at_resolution(use, 15, 5) == use
    assert at_resolution(use, 15, 30) == Use((0, 1800, 3600), (3, 7, 5), bytes((0, 3, 0)))
    assert at_resolution(use, 15, 60) == Use((0, 3600), (10, 5), bytes((3, 0)))
    assert at_resolution(Use((), (), b""), 15, 60) == Use((), (), b"")


@given(st.lists(st.integers(0, 5000), max_size=200), st.integers(5, 1440))
def test_no_resolution_loses_energy(watt_hours: list[int], resolution: int) -> None:
    starts = tuple(range(MIDNIGHT, MIDNIGHT + 900 * len(watt_hours), 900))
    use = Use(starts, tuple(watt_hours), bytes(len(watt_hours)))
    merged = at_resolution(use, 15, resolution)
    assert sum(merged.watt_hours) == sum(watt_hours)
    assert len(merged.starts) == len(merged.states) == len(merged.watt_hours)


def test_a_raw_applet_reads_and_its_sum_leaves(machine: AppletMachine, database: Database) -> None:
    raw = Raw(
        machine,
        database,
        f"""
def update(self):
    use = self.platform.readings.read("{REGISTER}", {MIDNIGHT}, {MIDNIGHT + DAY})
    self.platform.outputs.set("hours", sum(use.watt_hours).to_bytes(4, "big"))
def process(self, command): pass
""",
    )
    raw.applet.tick(MIDNIGHT + 10)
    raw.applet.tick(MIDNIGHT + DAY)
    expected = sum(start // 900 % 7 for start in range(MIDNIGHT, MIDNIGHT + DAY, 900))
    assert raw.value() == answer(MIDNIGHT + DAY, expected)
    assert not raw.faults
