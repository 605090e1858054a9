# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter watch`: what a live meter of any kind sends, as it comes."""

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import IO, Final

import rich_click as click

from meterlet.commands.common import fail
from meterlet.meter_keys import secrets_options
from meterlet.meter_views.capture import (
    KINDS,
    TITLES,
    UNKNOWN,
    MeterSecrets,
    UnknownMeter,
    open_capture,
    recognised,
    said,
)
from meterlet.meter_views.events import Capture, Event
from meterlet.meter_views.tables import fault_text, telegram_lines
from meterlet.secret_files import SecretText

LISTENED_TO: Final = 1 << 16
"""Bytes that a kind is looked for in before it is said that none is known."""


@click.command()
@click.argument("source", help="A serial device, serial://, tcp://, http://, a file, or `-`.")
@click.option("--kind", type=click.Choice(KINDS), help="What it is; by default the bytes show it.")
@secrets_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each telegram.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many telegrams.")
@click.option("--login", type=SecretText("r"), help="File with user:password, for HTTP.")
@click.option("--once", is_flag=True, help="End when the line does, instead of opening it again.")
def watch(
    source: str,
    kind: str | None,
    secrets: MeterSecrets,
    as_json: bool,
    count: int | None,
    login: IO[str] | None,
    once: bool,
) -> None:
    """Print what a live meter sends, whatever its kind.

    SOURCE is a serial device, `serial:///dev/ttyUSB0?baud=9600`, `tcp://host:port`, `http://...`
    (polled every second), any other address of `hub ingest`, or a file. A line that breaks is
    opened again. Damage is told on standard
    error, with `--json` as a line of its own. The exit code is 1 where no telegram came.
    """
    secret = login.read().strip() if login else None
    stream, shown = MeterStream(kind, secrets), 0
    with (
        _one_line_for_text(source),
        closing(_chunks(source, kind, secrets, secret, once=once)) as chunks,
    ):
        for event in stream.events(chunks):
            if stream.is_new and not as_json:
                click.echo(stream.title)
            stream.is_new = False
            _print(event, stream, as_json=as_json)
            shown += "reason" not in event
            if shown == count:
                break
    if not shown:
        fail(f"{source}: {UNKNOWN if not stream.kind else 'no telegram came'}")


@contextmanager
def _one_line_for_text(source: str) -> Iterator[None]:
    """Say in one line that hex text went on as something else."""
    try:
        yield
    except ValueError:
        fail(f"{source}: it begins as hex text, and goes on as something else")


class MeterStream:
    """Finds out what a line carries, then reads it."""

    def __init__(self, kind: str | None, secrets: MeterSecrets) -> None:
        self._said, self._secrets = kind, secrets
        self.kind, self.why, self.is_new = "", "", True

    @property
    def title(self) -> str:
        """What it is, and what shows it."""
        return f"{TITLES[self.kind]}: {self.why}"

    def events(self, chunks: Iterable[bytes]) -> Iterator[Event]:
        """Yield what the pieces of a line say."""
        waiting = b""
        capture: Capture | None = None
        for chunk in chunks:
            if capture is None:
                waiting += chunk
                capture = self._opened(waiting, is_last=False)
                chunk, waiting = waiting, waiting[-LISTENED_TO:]
            if capture is not None:
                yield from capture.feed(chunk)
        if capture is None:
            capture = self._opened(waiting, is_last=True)
            if capture is not None:
                yield from capture.feed(waiting)
        if capture is not None:
            yield from capture.close()

    def _opened(self, data: bytes, *, is_last: bool) -> Capture | None:
        """Return what reads the line, None where it is not sure what it carries."""
        try:
            found = recognised(data, self._secrets) if self._said is None else said(self._said)
        except UnknownMeter:
            return None
        if not data or not (found.is_sure or is_last):
            return None
        self.kind, self.why = found.kind.value, found.why
        return open_capture(found.kind, data, self._secrets)


def _chunks(
    source: str, kind: str | None, secrets: MeterSecrets, login: str | None, *, once: bool
) -> Generator[bytes]:
    from hub.meters.kinds import MeterKeys
    from hub.meters.line_text import hex_or_bytes
    from hub.meters.recognition import MeterKind
    from hub.meters.sources import kind_at
    from meterlet.commands.intake import file_chunks, live_chunks

    if source.startswith("/dev/"):
        source = f"serial://{source}"
    if "://" not in source:
        yield from hex_or_bytes(file_chunks(source))
        return
    spoken = MeterKind(kind) if kind else kind_at(source)
    keys = MeterKeys(secrets.key, secrets.auth_key)
    pieces = live_chunks(source, once=once, login=login, kind=spoken, keys=keys)
    yield from hex_or_bytes(pieces, spoken)


def _print(event: Event, stream: MeterStream, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"kind": stream.kind} | event, ensure_ascii=False))
    elif "reason" in event:
        click.echo(f"byte {event['offset']}: {fault_text(event)}", err=True)
    else:
        for line in telegram_lines(event):
            click.echo(line)
