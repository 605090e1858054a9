# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub ingest` does with bytes: from a file or a live line into the vault."""

import asyncio
import os
import sys
from collections.abc import Iterator
from errno import EIO
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import rich_click as click

from hub.readings import Reading, ReadingFlag, Readout
from sml_codec.hextext import HexText

if TYPE_CHECKING:
    from sml_codec.sources import Interruption

CHUNK: Final = 1 << 14


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


def live_chunks(source: str, *, once: bool = False, login: str | None = None) -> Iterator[bytes]:
    """Yield what a live line sends, opened again whenever it breaks unless `once`.

    Raises `OSError` naming the source where it cannot be opened.
    """
    from sml_codec.sources import Retry, open_source  # needs asyncio, urllib

    retry = None if once else Retry(heard=partial(_say_interrupted, source))
    loop = asyncio.new_event_loop()
    try:
        pieces = open_source(source, login=login, retry=retry)
        while (piece := loop.run_until_complete(anext(pieces, None))) is not None:
            yield piece
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise OSError(error.errno or EIO, error.strerror or str(error), source) from None
    finally:
        for task in (tasks := asyncio.all_tasks(loop)):  # cut off in the midst of a read
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _say_interrupted(source: str, interruption: "Interruption") -> None:
    if interruption.attempts == 1:
        click.echo(f"meterlet: {source}: {interruption.reason}; it is opened again", err=True)


def hex_or_bytes(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a stream that may be hex."""
    text = HexText()
    for chunk in chunks:
        yield text.feed(chunk)
    yield text.close()
