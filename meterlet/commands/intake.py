# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub ingest` does with bytes: from a file or a live line into the vault."""

import os
import socket
import sys
from collections.abc import Iterator
from errno import EIO
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import rich_click as click

from hub.readings import Reading, ReadingFlag, Readout

CHUNK: Final = 1 << 14
BATCH: Final = 4096
"""Readings of a file that are held in memory at a time."""


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
