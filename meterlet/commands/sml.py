# SPDX-License-Identifier: Apache-2.0
"""`meterlet sml`: decode, encode, check and watch what meters send."""

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import rich_click as click

from hub.text import noun_for
from meterlet.commands.common import FILE, Exit, fail, print_json
from meterlet.commands.tariff_files import write_over
from meterlet.secret_files import SecretText
from meterlet.sml_capture import decode_sml
from sml_codec import (
    Body,
    CloseRes,
    Damage,
    EncodingError,
    Frame,
    GetListRes,
    Limits,
    ListEntry,
    Message,
    Obis,
    OpenRes,
    PeriodEntry,
    SignFaults,
    SmlFile,
    StreamDecoder,
    Telegram,
    TimeChoice,
    UnknownBody,
    encode_file,
    encode_frame,
    entries,
)
from sml_codec.hextext import HexText
from sml_codec.records import entry_of, record_of

NOTHING: Final = "no SML telegram in it; `meterlet hub probe` says what a line sends"
STANDARD: Final = Path("-")
"""Standard output."""
PIECE: Final = 1 << 16
SERVER_ID_NAMES: Final = (Obis.parse("1-0:96.1.0*255"), Obis.parse("1-0:0.0.9*255"))

capture = click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.File("rb"),
    metavar="FILE...",
    help="Captures of a line, SML files, or `-` for standard input.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
frame_limit = click.option(
    "--max-frame",
    type=click.IntRange(min=16),
    help="Longest frame taken, in bytes; by default the whole file, with --stream 1 MiB.",
)


@click.group()
def sml() -> None:
    """Decode, encode, check and watch what meters send (SML).

    A FILE is a capture of a serial line, an SML file without frames, or `-` for standard input.
    """


@sml.command()
@capture
@json_option
@click.option("--salvage", is_flag=True, help="Show what can be saved from damaged frames, too.")
@click.option("--stream", is_flag=True, help="Print each frame as it arrives, in bounded memory.")
@frame_limit
@click.option(
    "--dzg",
    multiple=True,
    metavar="SERIAL=on|off",
    help="Whether the DZG meter of this serial sends wrong signs of power. Repeatable.",
)
def decode(
    files: tuple[IO[bytes], ...],
    as_json: bool,
    salvage: bool,
    stream: bool,
    max_frame: int | None,
    dzg: tuple[str, ...],
) -> None:
    """Print the values in captures.

    With `--json`, one object for each file (with `--stream`: for each frame) has `frames`,
    `frames_bad`, `values` and `salvage`; docs/sml.md explains the fields. The exit code is 1 where
    there is no telegram in a file, not even a damaged one.
    """
    faults, empty = _sign_faults(dzg), []
    for file in files:
        if stream:
            longest = max_frame or Limits().frame
            index, limits = -1, Limits(frame=longest, octets=longest)
            for index, telegram in enumerate(_arriving(file, limits, faults)):
                _show([telegram], index, as_json, salvage)
            is_empty = index < 0
        else:
            found = decode_sml(file.read(), longest_frame=max_frame, sign_faults=faults)
            if found.bare is not None:
                _show_bare(found.bare, as_json)
                is_empty = not found.bare.messages
            else:
                _show(found.telegrams, 0, as_json, salvage)
                is_empty = not found.telegrams
        if is_empty:
            empty.append(str(getattr(file, "name", "-")))
    if empty:
        fail(f"{', '.join(empty)}: {NOTHING}")


@sml.command()
@capture
@json_option
@frame_limit
def check(files: tuple[IO[bytes], ...], as_json: bool, max_frame: int | None) -> None:
    """Report every frame, and every damage, in captures; exit with 3 if there is any damage."""
    damaged = False
    for file in files:
        data = file.read()
        found = decode_sml(data, longest_frame=max_frame)
        reports = [_report(telegram) for telegram in found.telegrams]
        if found.bare is not None:
            reports = [{"offset": 0, "length": len(data)} | _contents(found.bare)]
        damaged = damaged or not reports or any(_is_damaged(report) for report in reports)
        if as_json:
            click.echo(json.dumps({"frame_list": reports}))
        else:
            _print_reports(getattr(file, "name", "-"), reports)
    raise SystemExit(int(Exit.REFUTED if damaged else Exit.FINE))


@sml.command()
@click.argument(
    "source",
    type=click.File("r"),
    default="-",
    metavar="[FILE]",
    help="What `decode --json` has printed; by default standard input.",
)
@click.option("--server-id", help="Id of the meter, in hex; by default that among the values.")
@click.option("--bare", is_flag=True, help="Write SML files without frames.")
@click.option("-o", "--output", type=FILE, default="-", help="Where to write.")
@json_option
def encode(source: IO[str], server_id: str | None, bare: bool, output: Path, as_json: bool) -> None:
    """Write the frames of values, given as `decode --json` prints them.

    Each frame number becomes a file of an Open, a GetList and a Close response. With `--json`, say
    where they go with -o: what was written is told on standard output.
    """
    if as_json and output == STANDARD:
        raise click.UsageError("--json: say with -o where the frames go")
    written: list[bytes] = []
    with _one_line_errors():
        sender = _server_id(server_id)
        for line in _objects(source.read()):
            for number, listed in _by_frame(line).items():
                data = encode_file(_push(number, listed, sender))
                written.append(data if bare else encode_frame(data))
    if output == STANDARD:
        sys.stdout.buffer.write(b"".join(written))
        return
    write_over(output, b"".join(written), 0o644)
    if as_json:
        facts = {"frames": len(written), "bytes": sum(map(len, written))}
        print_json("meterlet.sml.encode/1", {"file": str(output), **facts})


@sml.command()
@click.argument("source", help="A serial device, serial://, tcp://, http://, or a file.")
@json_option
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many frames.")
@click.option("--login", type=SecretText("r"), help="File with user:password, for HTTP.")
@click.option("--once", is_flag=True, help="End when the line does, instead of opening it again.")
def watch(source: str, as_json: bool, count: int | None, login: IO[str] | None, once: bool) -> None:
    """Print what a live meter sends.

    SOURCE is a serial device, `serial:///dev/ttyUSB0?baud=9600`, `tcp://host:port`, `http://...`
    (polled every second), or a file. A line that breaks is opened again.
    """
    with _one_line_errors():
        secret = login.read().strip() if login else None
        shown = asyncio.run(_watch(source, secret, count, as_json, once=once))
    if not shown:
        fail(f"{source}: {NOTHING}")


async def _watch(
    source: str, login: str | None, count: int | None, as_json: bool, *, once: bool
) -> int:
    """Print telegrams as they come, damaged ones as such; return how many came."""
    from sml_codec.sources import Interruption, Retry, open_source, telegrams

    def say(interruption: Interruption) -> None:
        if interruption.attempts == 1:
            click.echo(f"{source}: {interruption.reason}; it is opened again", err=True)

    index, retry = 0, None if once else Retry(heard=say)
    async for telegram in telegrams(open_source(source, login=login, retry=retry)):
        _show([telegram], index, as_json, salvage=False)
        index += 1
        if index == count:
            break
    return index


def _sign_faults(said: tuple[str, ...]) -> SignFaults | None:
    """Return what `--dzg` says of serials."""
    serials: dict[int, bool] = {}
    for text in said:
        serial, _, state = text.partition("=")
        if not (serial.isascii() and serial.isdigit()) or state not in ("on", "off"):
            raise click.UsageError(f"--dzg {text}: write it as 42123456=on or 42123456=off")
        serials[int(serial)] = state == "on"
    return SignFaults(serials) if said else None


def _arriving(
    file: IO[bytes], limits: Limits, faults: SignFaults | None = None
) -> Iterator[Telegram]:
    """Yield the telegrams of a file while it is read."""
    decoder, text = StreamDecoder(limits=limits, sign_faults=faults), HexText()
    read = getattr(file, "read1", file.read)  # does not wait for a whole piece
    while piece := read(PIECE):
        yield from decoder.feed(text.feed(piece))
    yield from decoder.feed(text.close())
    yield from decoder.close()


def _show(telegrams: Sequence[Telegram], first: int, as_json: bool, salvage: bool) -> None:
    """Print telegrams, of which the first has the number `first`."""
    numbered = list(enumerate(telegrams, first))
    intact = [(number, t.file) for number, t in numbered if t.is_intact]
    damaged = [(number, t) for number, t in numbered if not t.is_intact]
    if as_json:
        saved = [(number, telegram.file) for number, telegram in damaged]
        _print_json(len(intact), len(damaged), intact, saved)
        return
    for number, telegram in numbered:
        _print_sender(number, telegram)
        if isinstance(telegram.frame, Damage):
            why = ", ".join(telegram.frame.reasons)
            click.echo(f"frame {number}: damaged ({why})", err=True)
        if telegram.is_intact or salvage:
            _print_values(number, telegram.entries(), salvaged=not telegram.is_intact)


def _print_sender(number: int, telegram: Telegram) -> None:
    """Print who has sent a telegram, and when by the meter's own clock."""
    if not telegram.is_intact or telegram.server_id is None:
        return
    printed = f" ({telegram.device_id})" if telegram.device_id else ""
    click.echo(f"{number:>5}  meter {telegram.server_id.hex()}{printed}{_time_text(telegram)}")


def _time_text(telegram: Telegram) -> str:
    time = telegram.meter_time
    if time is None:
        return ""
    if time.choice in (TimeChoice.TIMESTAMP, TimeChoice.LOCAL_TIMESTAMP):
        with suppress(ValueError, OverflowError, OSError):  # beyond any calendar
            return f", {datetime.fromtimestamp(time.seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f", {time.seconds:,} s counted"


def _show_bare(file: SmlFile, as_json: bool) -> None:
    """Print an SML file that came without a frame."""
    if as_json:
        _print_json(0, 0, [(0, file)], [])
        return
    if file.error is not None:
        click.echo(f"file: {file.error}", err=True)
    _print_values(0, entries(file), salvaged=False)


def _print_json(
    frames: int,
    frames_bad: int,
    intact: Iterable[tuple[int, SmlFile]],
    damaged: Iterable[tuple[int, SmlFile]],
) -> None:
    document = {
        "frames": frames,
        "frames_bad": frames_bad,
        "values": [{"frame": n} | record_of(e) for n, file in intact for e in entries(file)],
        "salvage": [{"frame": n} | record_of(e) for n, file in damaged for e in entries(file)],
    }
    click.echo(json.dumps(document))


def _print_values(
    number: int, values: Iterable[ListEntry | PeriodEntry], *, salvaged: bool
) -> None:
    mark = "  (from a damaged frame)" if salvaged else ""
    for entry in values:
        scaled = entry.scaled
        if scaled is not None:
            text = f"{scaled:f} {entry.unit_symbol}".rstrip()
        elif isinstance(entry.value, bytes):
            text = entry.value.hex(" ")
        else:
            text = json.dumps(record_of(entry)["value"])
        click.echo(f"{number:>5}  {entry.obis!s:<24} {text}{mark}")


def _report(telegram: Telegram) -> dict[str, Any]:
    """Return what `check` says about a frame."""
    frame = telegram.frame
    if isinstance(frame, Frame):
        report: dict[str, Any] = {
            "offset": frame.offset,
            "length": len(frame.wire),
            "status": "ok",
            "crc": frame.crc.value,
            "padding": len(frame.padding),
        }
        if frame.notes:
            report["why"] = list(frame.notes)
    else:
        report = {
            "offset": frame.offset,
            "length": frame.length,
            "status": frame.kind.value,
            "why": list(frame.reasons),
        }
    return report | _contents(telegram.file)


def _is_damaged(report: Mapping[str, Any]) -> bool:
    return report.get("status", "ok") != "ok" or "error" in report or "rejected" in report


def _contents(file: SmlFile) -> dict[str, Any]:
    """Return what `check` says about the messages of a file."""
    contents: dict[str, Any] = {"messages": [message.name for message in file.messages]}
    if file.rejected:
        contents["rejected"] = [message.name for message in file.rejected]
    reasons = [m.body.reason for m in file.messages if isinstance(m.body, UnknownBody)]
    if any(reasons):
        contents["misshaped"] = [reason for reason in reasons if reason]
    if file.error is not None:
        contents["error"] = str(file.error)
    return contents


def _print_reports(name: str, reports: list[dict[str, Any]]) -> None:
    """Print a line for each frame that is not simply fine, and a summary."""
    intact = sum(report.get("status", "ok") == "ok" for report in reports)
    for report in reports:
        remarks = [*report.get("why", ()), *report.get("misshaped", ())]
        remarks += [f"wrong checksum: {kind}" for kind in report.get("rejected", ())]
        remarks += [report["error"]] if "error" in report else []
        if remarks:
            place = f"{name}: byte {report['offset']}, {report['length']} bytes"
            click.echo(f"{place}: {report.get('status', 'file')}: {'; '.join(remarks)}")
    click.echo(
        f"{name}: {intact} {noun_for(intact, 'frame')} intact, {len(reports) - intact} damaged"
    )


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects that follow one another in a text."""
    decoder = json.JSONDecoder()
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        found, place = decoder.raw_decode(text, place)
        if not isinstance(found, dict) or not isinstance(found.get("values"), list):
            raise EncodingError("each JSON object must have a list of `values`")
        yield found


def _by_frame(document: Mapping[str, Any]) -> dict[int, list[ListEntry]]:
    """Return the entries of a document by the number of their frame."""
    frames: dict[int, list[ListEntry]] = {}
    for record in document["values"]:
        if not isinstance(record, dict):
            raise EncodingError("each of the `values` must be an object")
        frames.setdefault(int(record.get("frame", 0)), []).append(entry_of(record))
    return frames


def _push(number: int, listed: list[ListEntry], server_id: bytes | None) -> list[Message]:
    """Return the file in which a meter would push these values."""
    ids = [e.value for e in listed if e.obis in SERVER_ID_NAMES and isinstance(e.value, bytes)]
    sender = server_id or next(iter(ids), b"")
    file_id = b"%d" % number
    bodies: tuple[Body, ...] = (
        OpenRes(request_file_id=file_id, server_id=sender),
        GetListRes(server_id=sender, entries=tuple(listed)),
        CloseRes(),
    )
    return [
        Message(transaction_id=file_id + b"-%d" % place, body=body)
        for place, body in enumerate(bodies)
    ]


def _server_id(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError:
        raise EncodingError(f"the server id {text!r} is not hex") from None


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn what a user can do wrong into one line and exit code 1."""
    try:
        yield
    except (EncodingError, OSError, ValueError) as reason:
        fail(str(reason))
