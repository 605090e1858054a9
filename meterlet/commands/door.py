# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub ingest` does at the door: readings are stored, odd telegrams set aside.

Nothing ends a line but its end or the user. What came of it is said at the end: how many readings
were stored, how many telegrams were set aside and why, how many came again, and where nothing was
stored what the meter sends instead.
"""

import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import rich_click as click

from hub.device import Device
from hub.doors import Door
from hub.intake import Intake
from hub.meters.files.opened import FileReport
from hub.meters.odd import Odd, OddTelegram
from hub.meters.sml_intake import NoTimeOfDay
from hub.meters.telegram_intake import NoTimeInTelegrams
from hub.quarantining import exchange_command, meter_of
from hub.readings import ReadingFlag
from hub.text import counted, noun_for, utc_text
from meterlet.commands.common import Exit, show
from meterlet.commands.file_options import gap_facts, say_gaps, say_report
from meterlet.commands.intake import LOST_SHOWN, lost_facts
from meterlet.commands.own_commands import advise
from meterlet.commands.refusals import INTERRUPTED, refuse
from meterlet.own_words import reason_in_own_words
from sml_codec import Obis


class _Ended(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def _end(number: int, frame: object) -> NoReturn:
    raise _Ended


def hear_odd(source: str, one: OddTelegram) -> None:
    """Say that a telegram was set aside, and why."""
    reason = reason_in_own_words(one.reason)
    click.echo(f"meterlet: {source}: byte {one.offset}: set aside: {reason}", err=True)


def swallow(intake: Intake, source: str, chunks: Iterator[bytes]) -> None:
    """Take a whole file; where it has no moments, say what else was wrong with it."""
    try:
        intake.swallow(chunks)
    except (NoTimeOfDay, NoTimeInTelegrams):
        show_lost(source, intake.door)
        raise


def follow(intake: Intake, chunks: Iterator[bytes]) -> bool:
    """Take readings as they come, until the line or the user ends it.

    Returns whether the user has ended it, with Ctrl-C; what came before is stored and certified.
    """
    signal.signal(signal.SIGTERM, _end)
    is_interrupted = False
    try:
        for chunk in chunks:
            intake.take(chunk)
            if intake.is_full:
                break
        else:
            intake.finish()
    except _Ended:  # by whatever has started it, as a service: all is well
        pass
    except KeyboardInterrupt:
        is_interrupted = True
    intake.certify()
    return is_interrupted


def report(
    intake: Intake, source: str, file: FileReport, as_json: bool, *, is_interrupted: bool = False
) -> None:
    """Say what came of it, and end with the exit code for it; return if all was well.

    `file` is what was seen in a file of interval data.
    """
    door = intake.door
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
    if is_interrupted:
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
