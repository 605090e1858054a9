# SPDX-License-Identifier: Apache-2.0
"""A hub to try an applet on: real parts, a synthetic household, and everything said aloud."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from hub.applet_host.command import CommandFailed, CommandRecord, CommandStack
from hub.applet_host.desk import StatementDesk
from hub.applet_host.jobs import SW_BUSY, ProofJobs, WorkInProgress
from hub.applet_host.peers import AppletTransactions
from hub.applet_host.registers import granted_registers
from hub.applet_host.services import HubCalendar, HubClock, HubReadings
from hub.applet_host.statements import HubStatements
from hub.applet_host.store import AppletStore
from hub.device import Description, Device
from hub.installer import consent_terms
from hub.machine.bundle import Bundle
from hub.machine.ed25519 import Ed25519Signatures
from hub.machine.errors import AppletFault
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from hub.machine.manifest import Confinement, Manifest
from hub.machine.meter import WorkMeter
from hub.machine.raw import OUTPUT_COMPONENT, OutputBoard, RawApplet, Released
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Readout
from hub.vault.database import Database
from hub.vault.vault import KEY_SIZE
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, Period
from protocols.platform.services import NOT_OFFERED, Platform

REGISTER: Final = "1-0:1.8.0*255"
SLOT_MINUTES: Final = 15
SLOT_WIDTHS: Final = (15, 30, 60)
FED_IN: Final = "1-0:2.8.0*255"
SAMPLE_WATTS_PEAK: Final = 8000
HOUR: Final = 3600
SUCCESS: Final = (0x90, 0x61, 0x62, 0x63)
NONCE: Final = bytes(range(16))
BUSY: Final = SW_BUSY.to_bytes(2, "big")
AGAIN_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 120
"""How long a proof that is made in the background may take."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked of the applet, and what came of it."""

    asked: str
    response: bytes
    """With its status word; empty if the applet was not to answer."""
    fuel: int
    host_calls: int
    log: tuple[str, ...]
    fault: str | None = None
    """What broke: a traceback or a trap."""
    released: tuple[Released, ...] = ()
    refused: tuple[str, ...] = ()
    """Why the guard has refused what the applet asked for: the resident's log has the same."""

    @property
    def status(self) -> str:
        """The status word, in hexadecimal."""
        return self.response[-2:].hex().upper()

    def facts(self) -> dict[str, Any]:
        """Return the step as the JSON output shows it."""
        return {
            "asked": self.asked,
            "status": self.status,
            "data": self.response[:-2].hex(),
            "fuel": self.fuel,
            "host_calls": self.host_calls,
            "log": list(self.log),
            "fault": self.fault,
            "refused": list(self.refused),
            "released": [
                {
                    "output": one.output.name,
                    "boundary": one.boundary,
                    "value": one.value.hex() if one.is_set else None,
                }
                for one in self.released
            ],
        }


@dataclass(frozen=True, slots=True)
class _Lines:
    lines: list[str]

    def write(self, text: str) -> None:
        self.lines.append(text)


@dataclass(frozen=True, slots=True)
class SampleHome:
    """Whose readings the hub has: a synthetic household's, or those of a file."""

    period: Period
    zone: str
    slot_minutes: int = SLOT_MINUTES
    readouts: Sequence[Readout] | None = None
    """None: a synthetic household's."""
    left_out: tuple[date, ...] = ()
    """The first or last day of a file, where the file has a part of it only."""

    @classmethod
    def of(cls, readouts: Sequence[Readout], zone: str) -> Self:
        """Return the home with these readings; `ValueError` where none of their days is whole."""
        if len(readouts) < 2:
            raise ValueError("there are no readings to try an applet on")
        home, (begin, end) = ZoneInfo(zone), (readouts[0].time, readouts[-1].time)
        first, last = (datetime.fromtimestamp(time, home).date() for time in (begin, end - 1))
        left_out = []
        if Period(first, first).bounds(zone)[0] != begin:
            left_out.append(first)
            first += timedelta(days=1)
        if Period(last, last).bounds(zone)[1] != end and last not in left_out:
            left_out.append(last)
            last -= timedelta(days=1)
        if first > last:
            raise ValueError(f"readings of a whole day or more are needed, by the clock of {zone}")
        begin, end = Period(first, last).bounds(zone)
        readouts = [one for one in readouts if begin <= one.time <= end]
        apart = min(after.time - one.time for one, after in pairwise(readouts))
        fitting = (width for width in SLOT_WIDTHS if 60 * width >= apart)
        width = next(fitting, SLOT_WIDTHS[-1])
        return cls(Period(first, last), zone, width, readouts, tuple(left_out))

    @property
    def name(self) -> str:
        """What the household is, in words."""
        return "synthetic" if self.readouts is None else "from your file"

    def read(self, *, has_panels: bool) -> Sequence[Readout]:
        """Return its readings."""
        if self.readouts is not None:
            return self.readouts
        panels = SAMPLE_WATTS_PEAK if has_panels else 0
        household = SyntheticHousehold(self.zone, solar_watts_peak=panels)
        period, seconds = self.period, self.slot_minutes * 60
        return list(household.readouts(period.first, period.last, seconds))


def sample_meter(manifest: Manifest, home_zone: str, slot_minutes: int) -> Description:
    """Return the meter that an applet is tried on: with panels, if its manifest names feed-in."""
    fed_in = [ACTIVE_ENERGY_EXPORT] if _names_feed_in(manifest) else []
    registers = (ACTIVE_ENERGY_IMPORT, *fed_in)
    return Description(emulated_meter_id(1), registers, home_zone, slot_minutes)


@dataclass(slots=True)
class SampleHub:
    """A hub in a folder of its own, with a household's days in it."""

    device: Device
    bundle: Bundle
    period: Period
    _time: int
    _lines: list[str] = field(default_factory=list)
    _instance: AppletInstance = field(init=False)
    _stack: CommandStack = field(init=False)
    _jobs: ProofJobs = field(init=False)
    _raw: RawApplet | None = field(default=None, init=False)
    _faults: list[AppletFault] = field(default_factory=list, init=False)

    @classmethod
    @contextmanager
    def open(
        cls, folder: Path, machine: AppletMachine, bundle: Bundle, home: SampleHome
    ) -> Iterator["SampleHub"]:
        """Make the hub, fill it with the days of a household, and put the applet into it.

        A synthetic household has panels if the manifest names the register of what is fed in.
        """
        period = home.period
        description = sample_meter(bundle.manifest, home.zone, home.slot_minutes)
        end = period.bounds(home.zone)[1]
        outputs = Database(folder / "outputs.db", [OUTPUT_COMPONENT], key=os.urandom(KEY_SIZE))
        with outputs, Device.create(folder / "hub", description, now=lambda: end) as device:
            device.store(home.read(has_panels=_names_feed_in(bundle.manifest)))
            device.certify()
            for terms in consent_terms(bundle):
                device.disclosure.grant(terms)
            sample = cls(device, bundle, period, end)
            sample._start(machine, outputs)
            try:
                yield sample
            finally:
                sample._jobs.close()

    def _start(self, machine: AppletMachine, outputs: Database) -> None:
        manifest, device = self.bundle.manifest, self.device
        raw = manifest.confinement is Confinement.RAW
        self._stack, meter = CommandStack(device.database), WorkMeter()
        self._jobs = ProofJobs(device.now)
        registers = granted_registers(device.registers, manifest)
        zone = device.main.zone
        board = OutputBoard(outputs, manifest.aid, manifest, lambda _: None, zone)
        platform = Platform(
            statements=HubStatements(
                manifest.aid,
                self.bundle.digest,
                manifest,
                registers,
                REGISTER,
                device.disclosure,
                self._stack,
                StatementDesk.of(
                    device, manifest, self.bundle.digest, self._stack, meter, self._jobs
                ),
            ),
            calendar=HubCalendar(registers, meter),
            store=AppletStore(device.database, manifest.aid, manifest.limits.store_bytes),
            clock=HubClock(lambda: self._time),
            signatures=Ed25519Signatures(),
            log=_Lines(self._lines),
            readings=HubReadings(registers, manifest.resolution_minutes or 0, meter)
            if raw
            else NOT_OFFERED,
            outputs=board if raw else NOT_OFFERED,
            transactions=NOT_OFFERED if raw else AppletTransactions(self._stack),
        )
        self._instance = machine.instance(self.bundle, platform, meter)
        if raw:
            board.install(self._first_tick)
            self._raw = RawApplet(self._instance, board, outputs, self._faults.append)

    @property
    def _first_tick(self) -> int:
        first_day = Period(self.period.first, self.period.first)
        return first_day.bounds(self.device.main.zone)[1]

    @property
    def values(self) -> dict[str, str]:
        """What commands may name in braces: the period's bounds and a nonce, in hexadecimal."""
        begin, end = self.period.bounds(self.device.main.zone)
        return {
            "begin": begin.to_bytes(8, "big").hex(),
            "end": end.to_bytes(8, "big").hex(),
            "nonce": NONCE.hex(),
        }

    def install(self, parameters: bytes) -> Step:
        """Install the applet."""
        return self._step("install", lambda: self._instance.install(parameters))

    def select(self) -> Step:
        """Turn to the applet."""
        return self._step("select", self._instance.select)

    def send(self, command: bytes) -> Step:
        """Send a command, as if it had come over the applet's own channel.

        Where its proof takes long, send it again until it is made, as a recipient does.
        """
        asked, until = command.hex().upper(), time.monotonic() + PATIENCE_SECONDS
        while True:
            step = self._step(asked, lambda: self._instance.process(command), may_release=True)
            if step.response != BUSY or time.monotonic() > until:
                return step
            time.sleep(AGAIN_SECONDS)

    def tick(self, hours: int) -> Step:
        """Let a raw applet's time pass: `hours` after the sample period's first day."""
        assert self._raw is not None
        self._time = self._first_tick + hours * HOUR
        self._lines.clear()
        self._faults.clear()
        released = tuple(self._raw.tick(self._time))
        return Step(
            f"update at {datetime.fromtimestamp(self._time, UTC):%Y-%m-%dT%H:%MZ}",
            b"",
            self._instance.usage.fuel,
            self._instance.usage.host_calls,
            tuple(self._lines),
            self._faults[0].detail if self._faults else None,
            released,
        )

    def _step(self, asked: str, ask: Callable[[], bytes], *, may_release: bool = False) -> Step:
        self._lines.clear()
        response, broken, record = b"", None, CommandRecord()
        try:
            entered = self._stack.entered(record, self._instance, may_release=may_release)
            with self.device.database.transaction(), entered:
                response = ask()
                if response[-2] not in SUCCESS:
                    raise CommandFailed
        except CommandFailed:
            pass
        except WorkInProgress:
            response = BUSY
        except AppletFault as fault:
            response, broken = fault.response, f"{fault.kind.value}\n{fault.detail}"
        usage = self._instance.usage
        why = tuple(str(refused) for _, refused in record.refused)
        return Step(
            asked,
            response,
            usage.fuel,
            usage.host_calls,
            tuple(self._lines),
            broken,
            refused=why,
        )


def _names_feed_in(manifest: Manifest) -> bool:
    return any(FED_IN in grant.registers for grant in manifest.statements)
