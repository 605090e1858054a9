# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub ingest` does with bytes: from a file or a live line into the vault."""

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import rich_click as click

from hub.device import Description, Device
from hub.meters.sml_intake import SmlIntake
from hub.readings import Reading, ReadingFlag, Readout
from meterlet.commands.common import Exit, fail
from sml_codec import Obis

CHUNK: Final = 1 << 14
LOST_SHOWN: Final = 5
_OBIS: Final = re.compile(r"[\d.:*-]+")
BATCH: Final = 4096
"""Readings of a file that are held in memory at a time."""


@dataclass(slots=True)
class Intake:
    """What comes through the door goes into the vault, and days that are over are certified."""

    device: Device
    door: SmlIntake
    limit: int | None
    stored: int = 0
    days: int = 0

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
        self._store(waiting + self.door.close())
        self.days += self.device.certify()

    def follow(self, chunks: Iterator[bytes]) -> None:
        """Take readings as they come, each kept at once, until the line or the user ends it."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        slot_seconds, slot = 60 * self.device.main.slot_minutes, None
        with suppress(KeyboardInterrupt):
            for readouts in map(self.door.feed, chunks):
                self._store(readouts)
                if self.is_full:
                    break
                if readouts and readouts[-1].time // slot_seconds != slot:
                    slot = readouts[-1].time // slot_seconds
                    self.days += self.device.certify()  # a slot is signed when it ends
            else:
                self._store(self.door.close())
        self.days += self.device.certify()

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.stored >= self.limit

    def _store(self, readouts: list[Readout]) -> None:
        if self.limit is not None:
            readouts = readouts[: self.limit - self.stored]
        self.stored += self.device.store(readouts)


def columns_of(
    meter: Description, columns: tuple[str, ...], feed_in_column: str | None
) -> dict[bytes, str]:
    """Return a CSV file's column for each of the hub's registers; `UsageError` where one lacks."""
    chosen: dict[bytes, str] = {}
    for text in columns:
        code, _, name = text.rpartition("=")
        register = meter.register
        if code and _OBIS.fullmatch(code):
            register = Obis.parse(code).code
        else:
            name = text
        if register not in meter.registers or register in chosen:
            raise click.UsageError(f"--column {text}: the hub has no such register left")
        chosen[register] = name
    if feed_in_column is not None:
        if meter.feed_in_register is None:
            raise click.UsageError("--feed-in-column: the hub has no register of what is fed in")
        chosen[meter.feed_in_register] = feed_in_column
    if meter.register not in chosen:
        raise click.UsageError("a CSV file: say which --column")
    for register in meter.registers:
        if register == meter.feed_in_register and register not in chosen:
            raise click.UsageError(
                "a CSV file: the meter counts what is fed in; say which --feed-in-column"
            )
        if register not in chosen:
            raise click.UsageError(f"a CSV file: say --column {Obis(register)}=NAME")
    return {register: chosen[register] for register in meter.registers}


def lost_facts(door: SmlIntake) -> list[dict[str, object]]:
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


def live_chunks(source: str) -> Iterator[bytes]:
    """Yield what a TCP peer or a serial line sends; raise `OSError` naming it."""
    try:
        yield from _line(source)
    except OSError as error:
        raise OSError(error.errno or EIO, error.strerror or str(error), source) from None


def _line(source: str) -> Iterator[bytes]:
    where = urlsplit(source)
    try:
        if where.scheme == "tcp" and where.hostname and where.port:
            with socket.create_connection((where.hostname, where.port)) as line:
                while chunk := line.recv(CHUNK):
                    yield chunk
            return
    except ValueError as error:
        raise click.UsageError(f"{source}: {error}") from None
    if where.scheme != "serial" or not where.path:
        raise click.UsageError(f"{source}: neither tcp://HOST:PORT nor serial:///DEVICE?baud=N")
    import serial

    baud = parse_qs(where.query).get("baud", ["9600"])[0]
    if not baud.isdigit():
        raise click.UsageError(f"{source}: baud={baud} is no number")
    with serial.Serial(where.path, int(baud), timeout=None) as port:
        while True:
            yield port.read(port.in_waiting or 1)
