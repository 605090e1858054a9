# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub probe`: what comes over a line, and how to make a hub for it."""

import asyncio
import time
from typing import Any, Final

import rich_click as click

from hub.meters.lines import LineKind, ProbedLine, ProbedMeter, is_known, probe
from hub.text import counted
from meterlet.commands.common import Exit, show
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT
from sml_codec import Obis

BAUDS: Final = (9600, 115200, 300, 2400, 19200, 38400, 57600, 4800, 1200)
"""The speeds that are tried, the commonest first."""
ENOUGH: Final = 3
"""Telegrams that tell all there is to tell."""
LARGEST: Final = 1 << 20


@click.command("probe")
@click.argument(
    "source", help="A line or a file: a serial device, serial://, tcp://, http://, or `-`."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=5.0,
    show_default=True,
    help="How long to listen, at each speed.",
)
@click.option("--login", type=click.File("r"), help="File with user:password, for HTTP.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def probe_line(source: str, seconds: float, login: Any, as_json: bool) -> None:
    """Say what comes over a line: protocol, meter, registers, resolution, clock.

    SOURCE is as for `ingest`: a serial line, a TCP peer, a web address or a file. Of a serial
    line without ?baud= the common speeds are tried. The last line is the command that makes the
    hub. The exit code is 1 where no hub can read what comes.
    """
    secret = login.read().strip() if login else None
    is_file = "://" not in source and not source.startswith("/dev/")
    baud, line = None, probe(b"", is_file=is_file)
    addresses = _addresses(source)
    for number, (speed, address) in enumerate(addresses):
        try:
            baud, line = speed, probe(_sample(address, seconds, secret), is_file=is_file)
        except OSError:
            if number == 0:  # a line that is not there; not one that has not all speeds
                raise
            continue
        if is_known(line.kind):
            break
    facts = _facts(source, baud, line)
    show("meterlet.hub.probe/1", facts, _lines(source, baud, line), as_json=as_json)
    if line.kind is not LineKind.SML or not line.meters:
        raise SystemExit(int(Exit.FAILURE))


def _addresses(source: str) -> list[tuple[int | None, str]]:
    if source.startswith("/dev/"):
        source = f"serial://{source}"
    if not source.startswith("serial://"):
        return [(None, source)]
    from sml_codec.sources import SerialLine

    try:
        line = SerialLine.parse(source)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if "baud=" in source:
        return [(line.baud, source)]
    return [(baud, f"serial://{line.device}?baud={baud}") for baud in BAUDS]


def _sample(address: str, seconds: float, login: str | None) -> bytes:
    """Return what comes within so many seconds; as soon as it is enough, no more."""
    from sml_codec import StreamDecoder
    from sml_codec.hextext import HexText
    from sml_codec.sources import open_source

    async def listen() -> bytes:
        data, decoder, text, intact = bytearray(), StreamDecoder(), HexText(), 0
        begin = time.monotonic()
        source = open_source(address, login=login)
        while len(data) < LARGEST and intact < ENOUGH:
            left = begin + seconds - time.monotonic()
            try:
                piece = await asyncio.wait_for(anext(source, None), max(left, 0.01))
            except TimeoutError:
                break
            if piece is None:
                break
            data += piece
            intact += sum(one.is_intact for one in decoder.feed(text.feed(piece)))
        return bytes(data)

    try:
        return asyncio.run(listen())
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _facts(source: str, baud: int | None, line: ProbedLine) -> dict[str, Any]:
    return {
        "source": source,
        "protocol": line.kind.value,
        "advice": line.advice,
        "baud": baud,
        "hex": line.is_hex,
        "damaged": line.damaged,
        "meters": [
            {
                "meter": one.meter.hex(),
                "device_id": one.device_id,
                "telegrams": one.telegrams,
                "registers": [
                    {"register": str(r.obis), "step": r.step, "locked": r.is_coarse}
                    for r in one.registers
                ],
                "others": [str(obis) for obis in one.others],
                "clock": one.clock,
                "init": _init(one),
            }
            for one in line.meters
        ],
    }


def _lines(source: str, baud: int | None, line: ProbedLine) -> list[str]:
    lines = [f"protocol    {line.kind}: {line.advice}"]
    if baud is not None and is_known(line.kind):
        lines.append(f"baud rate   {baud}")
    if line.is_hex:
        lines.append("            sent as hex text")
    if line.damaged:
        lines.append(f"damaged     {counted(line.damaged, 'frame')}")
    for one in line.meters:
        lines += _of_meter(one)
    if not line.meters and line.kind is LineKind.SML:
        lines.append("registers   none: no telegram has a list of values")
    return lines


def _of_meter(one: ProbedMeter) -> list[str]:
    printed = f" ({one.device_id})" if one.device_id else ""
    lines = [f"meter       {one.meter.hex()}{printed}"]
    for register in one.registers:
        locked = ": locked, unlock the meter with its PIN" if register.is_coarse else ""
        lines.append(f"register    {register.obis} in steps of {register.step}{locked}")
    if one.others:
        lines.append(f"also sends  {', '.join(map(str, one.others))}")
    lines.append(f"clock       {_CLOCKS[one.clock]}")
    init = _init(one)
    lines.append(init or "no register of active energy: no hub can be made for it")
    return lines


_CLOCKS: Final = {
    "time of day": "sends the time of day",
    "wrong time of day": "stands before 2008: its readings would be set aside, have the clock set",
    "counts seconds": "counts seconds: readings are stamped on arrival, captures need --start",
    "none": "sends no time: readings are stamped on arrival, captures need --start and --step",
}


def _init(one: ProbedMeter) -> str | None:
    """Return the command that makes a hub for a meter; None where it has no register of energy."""
    codes = [register.obis.code for register in one.registers]
    command = f"meterlet hub init hub --meter {one.meter.hex()}"
    if ACTIVE_ENERGY_IMPORT in codes:
        return command + (" --feed-in-register" if ACTIVE_ENERGY_EXPORT in codes else "")
    return f"{command} --register {Obis(codes[0])}" if codes else None
