# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub ingest` does with bytes: from a file or a live line into the vault."""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from errno import EIO
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import rich_click as click

from hub.device import Description
from hub.meters.kinds import NO_KEYS, MeterKeys
from hub.meters.recognition import MeterKind
from hub.meters.sml_intake import SmlIntake
from hub.meters.sources import SourceOptions, open_meter_source
from hub.readings import Reading, ReadingFlag, Readout
from meterlet.commands.common import Exit, fail
from meterlet.commands.file_options import FileChoice
from sml_codec import Obis
from sml_codec.sources import Retry

if TYPE_CHECKING:
    from hub.doors import Door
    from sml_codec.sources import Interruption

CHUNK: Final = 1 << 14
LOST_SHOWN: Final = 5
MOST_NOTICES: Final = 100
"""Different things that a source may say."""
_OBIS: Final = re.compile(r"[\d.:*-]+")


def columns_of(meter: Description, choice: FileChoice) -> dict[bytes, tuple[str, ...]]:
    """Return a file's columns for each of the hub's registers; `UsageError` where one lacks.

    Without any, the file's format has to know them.
    """
    chosen: dict[bytes, list[str]] = {}
    for text in choice.columns:
        code, _, name = text.rpartition("=")
        register = meter.register
        if code and _OBIS.fullmatch(code):
            register = Obis.parse(code).code
        else:
            name = text
        if register not in meter.registers:
            raise click.UsageError(f"--column {text}: the hub has no such register")
        chosen.setdefault(register, []).append(name)
    for name in choice.feed_in_columns:
        if meter.feed_in_register is None:
            raise click.UsageError("--feed-in-column: the hub has no register of what is fed in")
        chosen.setdefault(meter.feed_in_register, []).append(name)
    if not chosen:
        return dict.fromkeys(meter.registers, ())
    if meter.register not in chosen:
        raise click.UsageError("a file of columns: say which --column")
    for register in meter.registers:
        if register == meter.feed_in_register and register not in chosen:
            raise click.UsageError(
                "a file of columns: the meter counts what is fed in; say which --feed-in-column"
            )
        if register not in chosen:
            raise click.UsageError(f"a file of columns: say --column {Obis(register)}=NAME")
    return {register: tuple(chosen[register]) for register in meter.registers}


def lost_facts(door: "Door | SmlIntake") -> list[dict[str, object]]:
    """Return what could not be read, as the JSON outputs show it."""
    return [{"offset": lost.offset, "reason": lost.reason} for lost in door.lost]


def report_lost(source: str, door: SmlIntake) -> None:
    """Say what could not be read, and end with the exit code for it; return if all could."""
    for lost in door.lost[:LOST_SHOWN]:
        click.echo(f"meterlet: {source}: byte {lost.offset}: {lost.reason}", err=True)
    if len(door.lost) > LOST_SHOWN:
        click.echo(f"meterlet: {source}: and {len(door.lost) - LOST_SHOWN} more", err=True)
    if door.lost:
        raise SystemExit(int(Exit.FAILURE))
    if not door.telegrams:
        fail(f"{source}: no SML telegram in it")


def following(latest: Reading | None, readouts: Iterator[Readout]) -> Iterator[Readout]:
    """Let emulated registers run on from the hub's last reading; time in between is a gap."""
    for number, readout in enumerate(readouts):
        if number > 0 or latest is None:
            yield readout
        elif readout.time != latest.time:
            yield readout.flagged(ReadingFlag.RESUMED)


def file_chunks(source: str) -> Iterator[bytes]:
    """Yield the bytes of a file, or of standard input for `-`."""
    if source == "-":
        while chunk := os.read(sys.stdin.fileno(), CHUNK):
            yield chunk
        return
    with Path(source).open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def live_chunks(
    source: str,
    *,
    once: bool = False,
    login: str | None = None,
    kind: MeterKind | None = None,
    keys: MeterKeys = NO_KEYS,
    meters: Callable[[], Collection[bytes]] = tuple,
) -> Iterator[bytes]:
    """Yield what a live line sends, opened again whenever it breaks unless `once`.

    Meters that have to be asked are asked every so often, with `once` a single time. `meters` are
    those of the hub. Raises `OSError` naming the source where it cannot be opened.
    """
    options = SourceOptions(login, kind=kind, keys=keys.for_mbus(), meters=meters)
    return source_chunks(source, options, once=once)


def source_chunks(source: str, options: SourceOptions, *, once: bool = False) -> Iterator[bytes]:
    """Yield what comes of a source, as `live_chunks` does, with all its options."""
    retry = None if once else Retry(heard=partial(_say_interrupted, source))
    chosen = replace(options, retry=retry, heard=Notices(source).hear)
    loop = asyncio.new_event_loop()
    try:
        pieces = open_meter_source(source, chosen)
        while (piece := loop.run_until_complete(anext(pieces, None))) is not None:
            yield piece
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise OSError(error.errno or EIO, error.strerror or str(error), source) from None
    finally:
        for task in asyncio.all_tasks(loop):  # cut off in the midst of a read
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@dataclass(slots=True)
class Notices:
    """Says what a source has to say, each thing once."""

    source: str
    _said: set[str] = field(default_factory=set)

    def hear(self, notice: str) -> None:
        """Say it, unless it was said; after so many different things, no more."""
        if notice not in self._said and len(self._said) < MOST_NOTICES:
            self._said.add(notice)
            click.echo(f"meterlet: {self.source}: {notice}", err=True)


def _say_interrupted(source: str, interruption: "Interruption") -> None:
    if interruption.attempts == 1:
        click.echo(f"meterlet: {source}: {interruption.reason}; it is opened again", err=True)
