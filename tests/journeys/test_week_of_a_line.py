# SPDX-License-Identifier: Apache-2.0
"""Days of a serial line with every fault that the field has, and a hub whose power is cut.

Every intact reading is stored once, the meter is exchanged once, each odd telegram waits with its
reason, and the invoice of the month is what the registers gained, to the watt-hour. A day of the
line in the tests, the week as soak; the rest of the month comes from a file.
"""

import json
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from hub.certifier import NewMeter
from hub.device import Device
from hub.meters.odd import Odd
from hub.quarantining import take_new_meter
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tests.support.field import A_EURO_A_KILOWATT_HOUR, APRIL, MARCH, METER, NEIGHBOUR, telegram
from tests.support.line import SimulatedLine
from tests.support.town import Town, done

pytest.importorskip("serial")
STRANGER: Final = bytes.fromhex("0a0158585800000c0de0")
START_WH: Final = 5_000_001
NEW_WH: Final = 7
DAY: Final = 86_400


class World:
    """One meter, its register and its clocks, the line, and what is expected of the hub."""

    def __init__(self, folder: Path, *, counts: bool) -> None:
        self.folder, self.counts = folder, counts
        self.line = SimulatedLine(folder)
        self.time, self.meter, self.wh = MARCH, METER, START_WH
        self.counted = 1000
        self.stored: list[tuple[int, int]] = []
        self.maybe: list[tuple[int, int]] = []
        """Of what was on the line when the power was cut."""
        self.odd: list[Odd] = []
        self.line.clock.set(self.time)

    def go_on(self, seconds: int) -> None:
        self.time, self.counted = self.time + seconds, self.counted + seconds
        self.line.clock.set(self.time)

    def frame(self, wh: int | None = None, time: int | None = None, meter: bytes = b"") -> bytes:
        shown = self.wh if wh is None else wh
        sender = meter or self.meter
        if self.counts:
            return telegram(shown, count=self.counted, meter=sender)
        return telegram(shown, self.time if time is None else time, meter=sender)

    def step(self, seconds: int, used: int) -> None:
        """Let the meter count on, and send what it shows."""
        self.go_on(seconds)
        self.wh += used
        self.line.send(self.frame())
        self.stored.append((self.time, self.wh))

    def cut(self, seconds: int, used: int) -> None:
        """Cut the hub's power while a telegram is on its way, and switch it on again."""
        self.go_on(seconds)
        self.wh += used
        self.line.send_only(self.frame())
        self.line.kill()
        self.maybe.append((self.time, self.wh))
        self.line.start()

    def fault(self, kind: str) -> None:
        """Send something odd, just after a true telegram."""
        self.go_on(5)
        match kind:
            case "zero":
                self.expect(self.frame(0), Odd.FELL)
            case "leap":
                self.expect(self.frame(self.wh + 429_000_000), Odd.LEAPT)
            case "foreign":
                self.expect(self.frame(123, meter=STRANGER), Odd.FOREIGN)
            case "damaged":
                wire = self.frame()
                self.line.send(wire[:-1] + bytes([wire[-1] ^ 1]))
            case "repeated" if not self.counts:
                self.line.send(self.frame(time=self.stored[-1][0]))
            case "reordered" if not self.counts:
                self.expect(self.frame(self.wh - 1, self.stored[-1][0] - 7), Odd.LATE)
            case "1970" if not self.counts:
                self.expect(self.frame(time=3600), Odd.BEHIND)
            case "behind" if not self.counts:
                self.expect(self.frame(time=self.time - 2 * DAY), Odd.BEHIND)
            case "ahead" if not self.counts:
                self.expect(self.frame(time=self.time + 200 * DAY), Odd.AHEAD)
            case "hub's clock" if self.counts:
                self.line.clock.set(self.time + 200 * DAY)
                self.expect(self.frame(), Odd.STEPPED)
                self.line.clock.set(self.time - 2 * DAY)
                self.go_on_behind()
                self.line.clock.set(self.time)
            case _:
                pass

    def go_on_behind(self) -> None:
        self.counted += 1
        self.expect(self.frame(), Odd.STEPPED)
        self.counted -= 1

    def expect(self, frame: bytes, kind: Odd) -> None:
        self.line.send(frame)
        self.odd.append(kind)

    def exchange(self) -> None:
        """Exchange the meter; the resident says so after its first telegrams have come."""
        self.go_on(300)
        self.old_end, self.exchanged_at = self.wh, self.time
        self.meter, self.wh, self.counted = NEIGHBOUR, NEW_WH, 3
        self.line.send(self.frame())  # set aside, until the resident has said so
        self.stored.append((self.time, NEW_WH))
        self.go_on(60)
        self.wh += 2
        self.line.send(self.frame())
        self.stored.append((self.time, self.wh))
        with Device.open(self.folder, now=self.line.clock.now) as device:
            assert {one.telegram.meter for one in device.quarantine.all()} >= {NEIGHBOUR}
            with device.database.transaction():
                shown = {ACTIVE_ENERGY_IMPORT: (self.old_end, NEW_WH)}
                device.exchange_meter(self.exchanged_at, NEIGHBOUR, shown)
                assert take_new_meter(device) == 1
        self.stored.append((self.exchanged_at - 1, self.old_end))


FAULTS: Final = (
    "zero", "leap", "foreign", "damaged", "repeated", "reordered", "1970", "behind", "ahead",
    "hub's clock",
)  # fmt: skip


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A town that is not used, but copied."""
    town = Town(tmp_path_factory.mktemp("line"))
    town.found("--meter", METER.hex())
    # Telegrams come between the slots' ends, so most slots are estimated.
    done("utility", "limits", "--utility", town.utility, "--estimated-permille", 1000)
    return town


@pytest.fixture
def town(founded: Town, tmp_path: Path) -> Town:
    return Town(Path(shutil.copytree(founded.folder, tmp_path / "town")))


def live_through(world: World, *, days: int, seconds: int, cuts: int) -> None:
    """Send all of the days; each fault comes in turn, power cuts in between, one exchange."""
    chance = random.Random(16)
    steps = days * DAY // seconds + 4  # beyond the last midnight
    faults = {3 + (steps - 6) * n // (len(FAULTS) * days): FAULTS[n % len(FAULTS)]
              for n in range(len(FAULTS) * days)}  # fmt: skip
    cut_at = {5 + (steps - 10) * n // cuts for n in range(cuts)}
    world.line.start()
    world.step(0, 0)  # what the register shows as the month begins
    for number in range(steps):
        if number == steps // 2:
            world.exchange()
        elif number in cut_at:
            world.cut(seconds, chance.randrange(1, 90))
        else:
            world.step(seconds, chance.randrange(90))
        if number in faults and number not in cut_at:
            world.fault(faults[number])
    world.line.stop()


@pytest.mark.parametrize("counts", [False, True], ids=["time of day", "count of seconds"])
@pytest.mark.parametrize(
    ("days", "seconds", "cuts"),
    [(1, 900, 2), pytest.param(7, 60, 10, marks=pytest.mark.soak)],
    ids=["day", "week"],
)
def test_every_intact_reading_is_stored_once_and_each_odd_one_waits(
    town: Town, counts: bool, days: int, seconds: int, cuts: int
) -> None:
    world = World(town.hub, counts=counts)
    live_through(world, days=days, seconds=seconds, cuts=cuts)
    with Device.open(town.hub, now=world.line.clock.now) as device:
        found = list(device.main.vault.received(device.main.channel, 0, 1 << 40))
        known = [(one.time, one.register_wh) for one in found]
        assert len(known) == len(set(known))
        assert set(world.stored) <= set(known)
        assert set(known) <= set(world.stored) | set(world.maybe)

        waiting = [one.telegram for one in device.quarantine.all()]
        assert [one.kind for one in waiting] == world.odd
        assert all(one.reason for one in waiting)

        exchanged = [fact for fact in device.main.all_facts() if isinstance(fact, NewMeter)]
        assert [(one.time, one.meter) for one in exchanged] == [(world.exchanged_at, NEIGHBOUR)]

        device.certify()
        span = device.main.journal.span()
        assert span is not None
        certified = device.main.certifications(Period(span[0], span[1]))
        last = certified[-1].use.end_wh
        billed = sum(sum(day.use.uses) + day.use.unattributed_wh for day in certified)
        first = certified[0].use.start_wh
        assert first == world.stored[0][1]
        assert billed == (world.old_end - first) + (last - NEW_WH)
        assert certified[-1].use.grid.end <= world.time, "nothing of the future is certified"

    finish_the_month(world, town)
    bill = invoice(town)
    gained_wh = (world.old_end - START_WH) + (world.wh - NEW_WH)
    assert bill["total"] == f"{gained_wh // 1000}.{gained_wh % 1000:03}"
    assert (bill["verified"], bill["missing_slots"]) == (True, [])
    assert [one["new_meter"] for one in bill["meter_exchanges"]] == [NEIGHBOUR.hex()]


def finish_the_month(world: World, town: Town) -> None:
    """Ingest what the new meter sends until the month is over, once an hour, as a file."""
    frames, options = [], []
    if world.counts:
        world.go_on(60)
        began = datetime.fromtimestamp(world.time, UTC)
        options = ["--start", began.strftime("%Y-%m-%dT%H:%M:%S")]
        frames.append(world.frame())
    while world.time < APRIL:
        world.go_on(min(3600, APRIL - world.time))
        world.wh += world.time % 977
        frames.append(world.frame())
    rest = town.folder / "rest.bin"
    rest.write_bytes(b"".join(frames))
    done("hub", "ingest", "--hub", town.hub, rest, *options)


def invoice(town: Town) -> dict[str, Any]:
    """Return the bill of the month, which the hub has proved and the supplier has checked."""
    town.enrol()
    tariff = town.folder / "tariff.toml"
    tariff.write_text(A_EURO_A_KILOWATT_HOUR)
    with town.serving() as address:
        asked = town.request(address, tariff, "--json", meter=METER.hex())
        return dict(json.loads(done(*asked)))
