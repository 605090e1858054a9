# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub correct`: readings of certified days that come late, or replace wrong ones."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rich_click as click

from hub.correcting import CorrectedRegister
from hub.device import Device
from hub.meters.files.opened import FileReport
from hub.meters.line_text import hex_or_bytes
from hub.meters.replay import parse_interval
from hub.meters.sml_intake import SmlIntake
from hub.readings import Readout
from hub.text import counted, utc_text
from meterlet.commands.common import hub_option, json_option, show
from meterlet.commands.file_options import FileChoice, file_options, say_report
from meterlet.commands.hub_meters import meter_of, of_option
from meterlet.commands.intake import (
    columns_of,
    file_chunks,
    lost_facts,
    report_lost,
)
from sml_codec import Obis


class _Undone(Exception):
    """Ends a dry run, and takes back what it did."""


@click.command()
@hub_option
@click.argument("source", help="A file of readings or of telegrams.")
@click.option("--replace", "may_replace", is_flag=True, help="Also replace what was read.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--start", type=click.DateTime(), help="When a capture began (UTC).")
@click.option("--every", default="0s", help="Keep one reading in so long, such as 1min.")
@file_options("files: ", names="[OBIS=]NAME")
@of_option
@json_option
def correct(
    folder: Path,
    source: str,
    of: str | None,
    may_replace: bool,
    dry_run: bool,
    start: datetime | None,
    every: str,
    choice: FileChoice,
    as_json: bool,
) -> None:
    """Take readings of days that are certified already, and have these days signed again.

    SOURCE is a capture of SML telegrams (a file, or - for standard input) or a file of interval
    data or registers, as for `ingest`. Slots that were missing or estimated are filled; what
    was read is replaced with --replace alone. The old readings and days stay beside the new ones. A
    corrected bill may be asked for then.
    """
    with Device.open(folder) as home:
        device = meter_of(home, of)
        meter = device.description
        capture_start = None if start is None else int(start.replace(tzinfo=UTC).timestamp())
        every_seconds = 0 if every == "0s" else parse_interval(every)
        door = SmlIntake(
            device.mounted_meter,
            meter.registers,
            device.now,
            capture_start=capture_start,
            every_seconds=every_seconds,
            is_capture=True,
        )
        report = FileReport()
        is_file_of_readings = choice.takes(source)
        if is_file_of_readings:
            columns = columns_of(meter, choice)
            replay = choice.replay(
                Path(source), columns, meter.zone, fuse=device.fuse, medium=meter.medium
            )
            readouts = list(replay.readouts(report=report))
        elif "://" in source or source == "synthetic":
            raise click.UsageError("readings are corrected from a file, or - for standard input")
        else:
            readouts = [
                one for chunk in hex_or_bytes(file_chunks(source)) for one in door.feed(chunk)
            ]
            readouts += door.close()
        is_interval_data = is_file_of_readings and not report.cumulative
        done = _corrected(device, readouts, is_interval_data, may_replace, dry_run)
    facts = {
        "dry_run": dry_run,
        "readings": len(readouts),
        "registers": [_facts(one) for one in done],
        "lost": lost_facts(door),
    }
    show("meterlet.hub.correct/1", facts, list(_lines(done, dry_run)), as_json=as_json)
    say_report(source, report)
    if not is_file_of_readings:
        report_lost(source, door)


def _corrected(
    device: Device,
    readouts: Sequence[Readout],
    is_interval_data: bool,
    may_replace: bool,
    dry_run: bool,
) -> list[CorrectedRegister]:
    done: list[CorrectedRegister] = []
    with suppress(_Undone), device.database.transaction():
        done = device.correct(readouts, is_interval_data=is_interval_data, may_replace=may_replace)
        if dry_run:  # the very same, taken back
            raise _Undone
    return done


def _facts(corrected: CorrectedRegister) -> dict[str, Any]:
    return {
        "register": str(Obis(corrected.register)),
        "reason": corrected.reason.name.lower(),
        "slots": corrected.slots,
        "days_signed_again": len(corrected.days),
        "days": [
            {
                "day": one.day.isoformat(),
                "revision": one.revision,
                "slots": [
                    {
                        "start": utc_text(one.before.use.grid.boundaries()[place]),
                        "before_wh": one.before.use.uses[place],
                        "before": one.before.use.states[place].name.lower(),
                        "after_wh": one.after.use.uses[place],
                        "after": one.after.use.states[place].name.lower(),
                    }
                    for place in one.changed
                ],
            }
            for one in corrected.changed
        ],
    }


def _lines(done: Sequence[CorrectedRegister], dry_run: bool) -> list[str]:
    lines = []
    for register in done:
        for one in register.changed:
            first, last = one.changed[0], one.changed[-1]
            bounds = one.before.use.grid.boundaries()
            before = sum(one.before.use.uses[place] for place in one.changed)
            after = sum(one.after.use.uses[place] for place in one.changed)
            lines.append(
                f"{one.day}: revision {one.revision}, {counted(len(one.changed), 'slot')} between"
                f" {utc_text(bounds[first])} and {utc_text(bounds[last + 1])}:"
                f" {after:,} Wh, before {before:,} Wh"
            )
        would = "would be " if dry_run else ""
        lines.append(
            f"{Obis(register.register)}: {counted(register.slots, 'slot')} {would}corrected"
            f" ({register.reason.name.lower()}),"
            f" {counted(len(register.days), 'day')} {would}signed again"
        )
    return lines
