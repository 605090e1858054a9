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
from hub.meters.admission import LARGEST_LEAD, Admission
from hub.meters.clocks import TwoClocks
from hub.meters.files.opened import FileReport
from hub.meters.odd import Odd, OddTelegram
from hub.meters.sml_intake import NoTimeOfDay, SmlIntake
from hub.quarantining import exchange_command, stored_at, taken_anew, unconfirmed_in
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
    door: SmlIntake
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
        waiting: list[Readout] = []
        for chunk in chunks:
            waiting += self.door.feed(chunk)
            if len(waiting) >= BATCH:
                self._store(waiting)
                waiting = []
                if self.is_full:
                    break
        try:
            waiting += self.door.close()
        except NoTimeOfDay:
            show_lost(self.source, self.door)
            raise
        self._store(waiting)
        self.days += self.device.certify()

    def follow(self, chunks: Iterator[bytes]) -> None:
        """Take readings as they come, each kept at once, until the line or the user ends it."""
        signal.signal(signal.SIGTERM, _end)
        slot_seconds, slot = 60 * self.device.main.slot_minutes, None
        try:
            for chunk in chunks:
                readouts = self.door.feed(chunk)
                self._store(readouts)
                if self.is_full:
                    break
                if readouts and readouts[-1].time // slot_seconds != slot:
                    slot = readouts[-1].time // slot_seconds
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

    def _store(self, readouts: list[Readout]) -> None:
        if self.limit is not None:
            readouts = readouts[: self.limit - self.stored]
        odd = self._fetch_odd()
        if readouts and readouts[-1].time > self.device.now() + LARGEST_LEAD:
            raise ReadingRefused(f"{utc_text(readouts[-1].time)}: that time has not come yet")
        if not readouts and not odd:
            return
        with self.device.database.transaction():
            try:
                self.stored += self.device.store(readouts)
            except ReadingRefused:
                if self.door.admission is None:
                    raise
                readouts = taken_anew(self.device, self.door.admission, readouts)
                odd += self._fetch_odd()
                self.stored += self.device.store(readouts)
            if self.door.admission is not None:
                confirmed, self.door.admission.confirmed = self.door.admission.confirmed, []
                self.device.quarantine.forget(confirmed)
            self._count(self.device.quarantine.add(odd), odd)
            if self.door.clocks is not None and readouts:
                self.device.quarantine.keep_clock(self.door.meter, self.door.clocks.anchor)
        if readouts:
            self.is_coarse = bool(readouts[-1].flags & ReadingFlag.COARSE)

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

    def _fetch_odd(self) -> list[OddTelegram]:
        admission = self.door.admission
        if admission is None or not admission.set_aside:
            return []
        odd, admission.set_aside = admission.set_aside, []
        clocks = self.door.clocks
        stepped = clocks is not None and any(one.kind is Odd.STEPPED for one in odd)
        if stepped and self.device.quarantine.clock(self.door.meter) is None:
            # The resident has accepted one of them: both clocks are compared anew.
            self.door.clocks = TwoClocks()
        return odd


def open_door(
    device: Device,
    *,
    is_live: bool = False,
    is_file: bool = False,
    is_replay: bool = False,
    start: int | None = None,
    step: int | None = None,
    every_seconds: int = 0,
) -> SmlIntake:
    """Return the door of a hub, for a live line, a file, or bytes on standard input.

    `start` is when a capture began, `step` the seconds between two telegrams that bring no time. A
    replay is of interval data: it goes on where the hub stands, or is refused as a whole.
    """
    if is_replay:
        return SmlIntake(
            device.mounted_meter,
            device.description.registers,
            device.now,
            every_seconds=every_seconds,
        )
    known = stored_at(device)

    def covered(time: int) -> bool:
        begin = time - time % every_seconds
        main = device.main
        found = main.vault.between(main.channel, begin, begin + every_seconds - 1)
        return any(begin <= reading.time < begin + every_seconds for reading in found)

    admission = Admission(
        device.fuse,
        known,
        device.last_readout(),
        is_live=is_live,
        covered=covered if every_seconds else None,
        unconfirmed=unconfirmed_in(device),
    )
    meter = device.mounted_meter
    by_arrival = start is None and not is_file
    return SmlIntake(
        meter,
        device.description.registers,
        device.now,
        capture_start=start,
        every_seconds=every_seconds,
        admission=admission,
        clocks=TwoClocks(device.quarantine.clock(meter)) if by_arrival else None,
        is_capture=is_file,
        capture_step=step,
        mounted=lambda: device.mounted_meter,
        former=lambda: device.former_meters,
        latest=device.last_readout,
    )


def report(intake: Intake, file: FileReport, as_json: bool) -> None:
    """Say what came of it, and end with the exit code for it; return if all was well.

    `file` is what was seen in a file of interval data.
    """
    source, door, admission = intake.source, intake.door, intake.door.admission
    repeated = intake.repeated + (0 if admission is None else admission.repeated)
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
        click.echo(f"meterlet: {source}: {_why_nothing(door)}", err=True)
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
    foreign = (one for one in intake.odd if one.kind is Odd.FOREIGN)
    commands = (exchange_command(intake.device, one) for one in foreign)
    if (command := next(filter(None, commands), None)) is not None:
        advise(f"if the meter was exchanged, say: {command}")
    if intake.is_coarse:
        click.echo(
            "meterlet: the meter counts whole kilowatt-hours: unlock it with its PIN (the grid"
            " operator has it). Until then slots are estimated, not measured",
            err=True,
        )


def show_lost(source: str, door: SmlIntake) -> None:
    """Say which bytes no reading could be taken from."""
    for lost in door.lost[:LOST_SHOWN]:
        click.echo(f"meterlet: {source}: byte {lost.offset}: {lost.reason}", err=True)
    if len(door.lost) > LOST_SHOWN:
        click.echo(f"meterlet: {source}: and {len(door.lost) - LOST_SHOWN} more", err=True)


def _why_nothing(door: SmlIntake) -> str:
    """Return why no reading came of a stream."""
    if not door.telegrams:
        return "no SML telegram in it"
    if not door.lists:
        return "no telegram has a list of values"
    wanted = ", ".join(str(Obis(code)) for code in door.registers)
    sent = ", ".join(map(str, door.seen)) or "nothing"
    return f"no telegram has {wanted}; the meter sends {sent}"
