# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub ingest` does at the door: readings are stored, odd telegrams set aside.

Nothing ends a line but its end or the user. What came of it is said at the end: how many readings
were stored, how many telegrams were set aside and why, how many came again, and where nothing was
stored what the meter sends instead.
"""

import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import rich_click as click

from hub.device import Device
from hub.doors import Door, Shown
from hub.meters.admission import LARGEST_LEAD
from hub.meters.files.opened import FileReport
from hub.meters.odd import Odd, OddTelegram
from hub.meters.sml_intake import NoTimeOfDay
from hub.meters.telegram_intake import NoTimeInTelegrams
from hub.quarantining import exchange_command, meter_of, taken_anew
from hub.readings import ReadingFlag, Readout
from hub.text import counted, noun_for, utc_text
from hub.vault.vault import ReadingRefused
from meterlet.commands.common import Exit, show
from meterlet.commands.file_options import gap_facts, say_gaps, say_report
from meterlet.commands.intake import LOST_SHOWN, lost_facts
from meterlet.commands.own_commands import advise
from meterlet.commands.refusals import INTERRUPTED, refuse
from meterlet.own_words import reason_in_own_words
from sml_codec import Obis

BATCH: Final = 4096
"""Readings of a file that are held in memory at a time."""
ODD_SHOWN: Final = 5
"""Reasons of each kind that are shown of a run."""


class _Ended(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def _end(number: int, frame: object) -> NoReturn:
    raise _Ended


@dataclass(slots=True)
class Intake:
    """What comes through the door goes into the vault, and days that are over are certified."""

    device: Device
    source: str
    door: Door
    limit: int | None
    stored: int = 0
    days: int = 0
    odd: list[OddTelegram] = field(default_factory=list)
    """The first telegrams that were set aside, of each kind."""
    set_aside: int = 0
    repeated: int = 0
    """Of those that were set aside: how many had been before."""
    is_interrupted: bool = False
    """Whether the user has ended it, with Ctrl-C; what came before is stored and certified."""
    is_coarse: bool = False
    """Whether the last reading is of a register that counts whole kilowatt-hours."""

    def swallow(self, chunks: Iterator[bytes]) -> None:
        """Take a whole file."""
        waiting: list[Shown] = []
        for chunk in chunks:
            waiting += self.door.feed(chunk)
            if len(waiting) >= BATCH:
                self._store(waiting)
                waiting = []
                if self.is_full:
                    break
        try:
            waiting += self.door.close()
        except (NoTimeOfDay, NoTimeInTelegrams):
            show_lost(self.source, self.door)
            raise
        self._store(waiting)
        self.days += self.device.certify()

    def follow(self, chunks: Iterator[bytes]) -> None:
        """Take readings as they come, each kept at once, until the line or the user ends it."""
        signal.signal(signal.SIGTERM, _end)
        slot_seconds = 60 * min(one.main.slot_minutes for one in self.device.every_meter)
        slot: int | None = None
        try:
            for chunk in chunks:
                readouts = self.door.feed(chunk)
                self._store(readouts)
                if self.is_full:
                    break
                if readouts and (latest := _latest(readouts)) // slot_seconds != slot:
                    slot = latest // slot_seconds
                    self.days += self.device.certify()  # a slot is signed when it ends
            else:
                self._store(self.door.close())
        except _Ended:  # by whatever has started it, as a service: all is well
            pass
        except KeyboardInterrupt:
            self.is_interrupted = True
        self.days += self.device.certify()

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.stored >= self.limit

    def _store(self, readouts: list[Shown]) -> None:
        if self.limit is not None:
            readouts = readouts[: self.limit - self.stored]
        odd = self.door.fetch_odd()
        if readouts and (latest := _latest(readouts)) > self.device.now() + LARGEST_LEAD:
            raise ReadingRefused(f"{utc_text(latest)}: that time has not come yet")
        if not readouts and not odd:
            return
        by_meter: dict[str, tuple[Device, list[Readout]]] = {}
        for meter, readout in readouts:
            by_meter.setdefault(meter.name, (meter, []))[1].append(readout)
        with self.device.database.transaction():
            for meter, shown in by_meter.values():
                admission = self.door.admission(meter)
                try:
                    self.stored += meter.store(shown)
                except ReadingRefused:
                    if admission is None:
                        raise
                    taken = taken_anew(meter, admission, shown)
                    odd += self.door.fetch_odd()
                    self.stored += meter.store(taken)
                if admission is not None:
                    confirmed, admission.confirmed = admission.confirmed, []
                    self.device.quarantine.forget(confirmed)
            self._count(self.device.quarantine.add(odd), odd)
            if readouts:
                self.door.stored()
        if readouts:
            self.is_coarse = bool(readouts[-1][1].flags & ReadingFlag.COARSE)

    def _count(self, new: list[OddTelegram], odd: list[OddTelegram]) -> None:
        """Count what was set aside; what was set aside before has come again."""
        self.set_aside += len(new)
        self.repeated += len(odd) - len(new)
        for one in new:
            if sum(known.kind is one.kind for known in self.odd) < ODD_SHOWN:
                self.odd.append(one)
                place = f"{self.source}: byte {one.offset}"
                click.echo(
                    f"meterlet: {place}: set aside: {reason_in_own_words(one.reason)}", err=True
                )


def report(intake: Intake, file: FileReport, as_json: bool) -> None:
    """Say what came of it, and end with the exit code for it; return if all was well.

    `file` is what was seen in a file of interval data.
    """
    source, door = intake.source, intake.door
    repeated = intake.repeated + door.repeated
    facts: dict[str, Any] = {
        "readings": intake.stored,
        "set_aside": intake.set_aside,
        "repeated": repeated,
        "telegrams": door.telegrams,
        "days_certified": intake.days,
        "gaps": (gaps := gap_facts(file)),
        "lost": lost_facts(door),
        "odd": [odd_facts(one) for one in intake.odd],
        **({"coarse": True} if intake.is_coarse else {}),
        **({"file": file.as_json()} if file.rows else {}),
    }
    stored, days = noun_for(intake.stored, "reading"), noun_for(intake.days, "day")
    text = (
        f"{intake.stored} {stored} stored, {intake.set_aside} set aside, {repeated} repeated,"
        f" {intake.days} {days} certified"
    )
    if gaps:
        text += f", {counted(len(gaps), 'gap')}"
    is_nothing = not intake.stored and not repeated
    if intake.set_aside > len(intake.odd):
        click.echo(f"meterlet: {intake.set_aside - len(intake.odd)} more were set aside", err=True)
    if intake.set_aside:
        advise("`meterlet hub readings quarantine list` shows what was set aside")
    _advise(intake)
    say_report(source, file)
    say_gaps(source, file)
    show_lost(source, door)
    if is_nothing and not intake.set_aside and not door.lost:
        click.echo(f"meterlet: {source}: {door.why_nothing}", err=True)
    sys.stderr.flush()
    show("meterlet.hub.ingest/1", facts, text, as_json=as_json)
    if intake.is_interrupted:
        refuse("interrupted: what came before is stored", INTERRUPTED)
    if intake.set_aside or door.lost or is_nothing:
        raise SystemExit(int(Exit.FAILURE))


def odd_facts(one: OddTelegram) -> Mapping[str, Any]:
    """Return a telegram that was set aside, as the JSON outputs show it."""
    return {
        "kind": one.kind.value,
        "reason": one.reason,
        "offset": one.offset,
        "meter": one.meter.hex(),
        "time": None if one.time is None else utc_text(one.time),
        "arrived": utc_text(one.arrival),
        "registers": {str(Obis(code)): wh for code, wh in one.registers.items()},
    }


def door_facts(device: Device) -> dict[str, Any]:
    """Return what the hub's status says of the door: its fuse, and what is not as it should be."""
    facts: dict[str, Any] = {"fuse": str(device.fuse)}
    last = device.last_readout()
    if last is not None and last.flags & ReadingFlag.COARSE:
        facts["resolution"] = "1 kWh: the meter is locked, unlock it with its PIN"
    if number := device.quarantine.count():
        facts["set_aside"] = number
    return facts


def _advise(intake: Intake) -> None:
    """Say what the resident can do about it."""
    foreign = [one for one in intake.odd if one.kind is Odd.FOREIGN]
    commands = (exchange_command(meter_of(intake.device, one), one) for one in foreign)
    if (command := next(filter(None, commands), None)) is not None:
        advise(f"if the meter was exchanged, say: {command}")
    if intake.is_coarse:
        click.echo(
            "meterlet: the meter counts whole kilowatt-hours: unlock it with its PIN (the grid"
            " operator has it). Until then slots are estimated, not measured",
            err=True,
        )


def show_lost(source: str, door: Door) -> None:
    """Say which bytes no reading could be taken from."""
    for lost in door.lost[:LOST_SHOWN]:
        click.echo(f"meterlet: {source}: byte {lost.offset}: {lost.reason}", err=True)
    if len(door.lost) > LOST_SHOWN:
        click.echo(f"meterlet: {source}: and {len(door.lost) - LOST_SHOWN} more", err=True)


def _latest(readouts: list[Shown]) -> int:
    """Return the latest moment of readouts."""
    return max(readout.time for _, readout in readouts)
