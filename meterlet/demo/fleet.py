# SPDX-License-Identifier: Apache-2.0
"""A process with some homes' hubs in it, each a device of its own with a folder and a port.

    python -m meterlet.demo.fleet PLAN

PLAN is a JSON file (`FleetPlan`). The process makes the devices, installs the aggregation applet in
each, lets its readings in as SML telegrams, certifies the days, and then serves until terminated.
Homes share the process for the computer's sake only: nothing passes between them.
"""

import asyncio
import csv
import gzip
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import rich_click as click

from hub.card.open import Card
from hub.device import Description, Device
from hub.installer import Installer
from hub.link import serve as serve_link
from hub.machine.machine import AppletMachine
from hub.meters.emulated import emulated_meter_id, telegrams
from hub.meters.replay import CsvReplay, EnergyUnit, ReplayError, parse_zone
from hub.meters.simulator import SyntheticHousehold
from hub.meters.sml_intake import SmlIntake
from hub.readings import Reading, Readout
from meterlet.commands.common import one_line_errors, open_machine, print_json
from meterlet.commands.serving import run_until_stopped
from meterlet.demo.dishonest_home import make_liar, vanishing
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period


@dataclass(frozen=True, slots=True)
class Home:
    """One home of the demonstration."""

    serial: int
    folder: str
    column: str
    """Of the CSV file; empty for a synthetic household, whose seed is the serial number."""
    vanishes: bool = False
    """Whether it drops out once it has told its keys."""
    lies: bool = False
    """Whether it encrypts something else than its certifier signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsPlan:
    """Which readings come in, and how the hubs keep them."""

    readings: Path | None
    """A CSV file; without one the households are synthetic."""
    unit: str
    interval_seconds: int
    readings_zone: str
    zone: str
    slot_minutes: int
    period: Period
    """The days whose readings come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan(ReadingsPlan):
    """What the process has to know."""

    homes: list[Home]
    package: str
    """The applet's CAP file."""
    vendor: str
    authority: str
    operator: str
    """The operator's public key, in hex."""

    def write(self, path: Path) -> None:
        """Keep the plan in a file."""
        path.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def read(cls, path: Path) -> "FleetPlan":
        """Return the plan in a file."""
        members: dict[str, Any] = json.loads(path.read_text())
        members["homes"] = [Home(**home) for home in members["homes"]]
        members["readings"] = members["readings"] and Path(members["readings"])
        days = members["period"]
        members["period"] = Period(*(date.fromisoformat(days[end]) for end in ("first", "last")))
        return cls(**members)


@dataclass(slots=True)
class _Hub:
    """A home's hub, made and ready."""

    home: Home
    device: Device
    card: Card

    @classmethod
    def make(cls, home: Home, plan: FleetPlan, machine: AppletMachine) -> "_Hub":
        """Make the device, let its readings in, install the applet."""
        folder = Path(home.folder)
        description = Description(
            emulated_meter_id(home.serial), (ACTIVE_ENERGY_IMPORT,), plan.zone, plan.slot_minutes
        )
        device = Device.create(folder, description)
        shutil.copy(plan.vendor, folder / "vendors" / "meterlet.pem")
        shutil.copy(plan.authority, folder / "authorities" / "authority.pem")
        intake = SmlIntake(description.meter, description.registers, device.now)
        readouts: list[Readout] = []
        for telegram in telegrams(description.meter, _readings(home, plan)):
            readouts += intake.feed(telegram)
        readouts += intake.close()
        device.store(readouts)
        device.certify()
        if home.lies:
            make_liar(device)
        card = device.card(machine)
        installer = Installer(device, card)
        package = installer.read(Path(plan.package).read_bytes())
        installer.install(package, bytes.fromhex(plan.operator))
        return cls(home, device, vanishing(card) if home.vanishes else card)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the outside needs to know of the home."""
        device = self.device
        return {
            "serial": self.home.serial,
            "meter": device.description.meter.hex(),
            "certifier": device.main.certifier.keys.public_key.public_bytes_raw().hex(),
        }


def _readings(home: Home, plan: FleetPlan) -> Iterator[Reading]:
    period = plan.period
    if not home.column:
        house = SyntheticHousehold(plan.zone, home.serial)
        return house.readings(period.first, period.last, 60 * plan.slot_minutes)
    replay = CsvReplay(
        _file_of(home),
        {ACTIVE_ENERGY_IMPORT: home.column},
        EnergyUnit(plan.unit),
        plan.interval_seconds,
        parse_zone(plan.readings_zone),
    )
    return replay.readings(*period.bounds(plan.zone))


def _file_of(home: Home) -> Path:
    return Path(f"{home.folder}.csv")


def open_csv(path: Path) -> TextIO:
    """Open a CSV file, compressed (.csv.gz) or not."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _split(path: Path, plan: FleetPlan) -> None:
    """Give each home a file of its own with its column of the days in question."""
    one_day = timedelta(days=1)
    first, last = plan.period.first - one_day, plan.period.last + one_day
    with ExitStack() as stack:
        text = stack.enter_context(open_csv(path))
        rows = csv.reader(text, strict=True)
        header = next(rows)
        columns = [
            (header.index(home.column), stack.enter_context(_file_of(home).open("w")))
            for home in plan.homes
        ]
        for column, file in columns:
            file.write(f"start,{header[column]}\n")
        for row in rows:
            if len(row) != len(header):
                raise ReplayError(f"{path}: line {rows.line_num}: {len(row)} cells")
            if first.isoformat() <= row[0][:10] <= last.isoformat():
                for column, file in columns:
                    file.write(f"{row[0]},{row[column]}\n")


async def _serve(hubs: Sequence[_Hub], stop: asyncio.Event) -> None:
    """Let every hub answer on a port of its own until `stop` is set; print where."""
    addresses: dict[int, dict[str, Any]] = {}

    def ready(hub: _Hub, host: str, port: int) -> None:
        addresses[hub.home.serial] = {**hub.facts, "address": f"{host}:{port}"}
        if len(addresses) == len(hubs):
            print_json("meterlet.demo.fleet/1", {"homes": list(addresses.values())})
            sys.stdout.flush()

    def complain(hub: _Hub, line: str) -> None:
        click.echo(f"meterlet: home {hub.home.serial}: {line}", err=True)

    await asyncio.gather(
        *(
            serve_link(
                hub.card,
                hub.device.disclosure,
                "127.0.0.1",
                0,
                partial(ready, hub),
                stop,
                tick=lambda: None,
                complain=partial(complain, hub),
            )
            for hub in hubs
        )
    )


def main() -> None:
    """Make and serve the homes of a plan."""
    with one_line_errors(), ExitStack() as stack:
        plan = FleetPlan.read(Path(sys.argv[1]))
        if plan.readings is not None:
            _split(plan.readings, plan)
        machine, hubs = open_machine(), []
        for home in plan.homes:
            hub = _Hub.make(home, plan, machine)
            stack.enter_context(hub.device)
            hubs.append(hub)
            click.echo(f"home {home.serial}", err=True)

        run_until_stopped(lambda stop: _serve(hubs, stop))


if __name__ == "__main__":
    main()
