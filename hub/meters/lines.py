# SPDX-License-Identifier: Apache-2.0
"""What comes over a line: what a hub can read, or what else it is, and what to do about it.

A meter's language is recognised by its signs (`hub.meters.recognition`), and its telegrams are read
as a hub would read them. What is left is said, too:

    1b 1b 1b 1b 01 01 01 01         with all high bits gone: SML over a line of seven bits
    < or {                          a web page, or JSON
    anything else                   another speed, or noise

What is said is what the bytes show.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import Final

from hub.meters.admission import COARSE_WH, EARLIEST
from hub.meters.emulated import UNIT_WH
from hub.meters.kinds import NO_KEYS, MeterKeys, reader_of
from hub.meters.recognition import MeterKind, Recognised, is_seven_bits, recognise_meter
from hub.meters.sml_intake import STAMPS
from hub.meters.telegrams import MeterTelegram, Quantity
from protocols.metrology import Medium
from sml_codec import GetListRes, Obis, StreamDecoder, Telegram, device_id_of, read_file
from sml_codec.frames import START
from sml_codec.hextext import HexText


class LineKind(StrEnum):
    """What a line carries."""

    SML = "SML"
    DAMAGED_SML = "damaged SML"
    BARE_SML = "SML without frames"
    SEVEN_BIT_SML = "SML over seven bits"
    IEC_62056_21 = "IEC 62056-21"
    DSMR = "DSMR P1"
    HDLC = "DLMS over HDLC"
    DLMS_M_BUS = "DLMS over M-Bus"
    WRAPPER = "DLMS over TCP"
    MESSAGE = "DLMS without frames"
    M_BUS = "M-Bus"
    RADIO = "wireless M-Bus"
    CURRENT_COST = "Current Cost"
    WEB_TEXT = "a web page or JSON"
    ARCHIVE = "a ZIP archive or an Excel workbook"
    SILENCE = "nothing"
    NOISE = "unknown bytes"


_READ: Final = "a hub reads this"
ADVICE: Final = {
    LineKind.SML: _READ,
    LineKind.DAMAGED_SML: "frames begin and none is intact: clean the optical head and turn it",
    LineKind.BARE_SML: "a gateway's file, not a meter's line: `meterlet sml decode` shows it",
    LineKind.SEVEN_BIT_SML: "the high bit of each byte is lost: set the adapter to 8N1",
    LineKind.IEC_62056_21: _READ,
    LineKind.DSMR: _READ,
    LineKind.HDLC: _READ,
    LineKind.DLMS_M_BUS: _READ,
    LineKind.WRAPPER: _READ,
    LineKind.MESSAGE: "one message, as programs store it: `meterlet meter decode` shows it",
    LineKind.M_BUS: _READ,
    LineKind.RADIO: _READ,
    LineKind.CURRENT_COST: _READ,
    LineKind.WEB_TEXT: "give the address at which the bridge answers with raw telegrams",
    LineKind.ARCHIVE: "unpack it, or save the sheet as CSV: `meterlet hub ingest` takes that",
    LineKind.SILENCE: "nothing came: is the head on the meter, and its port switched on? Some"
    " meters send every minute (--seconds 90), some only when they are asked",
    LineKind.NOISE: "no protocol is recognised: try another speed, as ?baud=9600",
}
IN_A_FILE: Final = {
    LineKind.SILENCE: "the file is empty",
    LineKind.NOISE: "no meter's protocol is recognised: `meterlet hub ingest` takes tables of"
    " readings (.csv, .tsv, .xml)",
    LineKind.WEB_TEXT: "no telegrams: `meterlet hub ingest` takes Green Button (.xml) and tables",
    LineKind.DAMAGED_SML: "frames begin and none is intact: record the file anew",
    LineKind.SEVEN_BIT_SML: "the high bit of each byte is lost: record it anew with 8N1",
}
"""The same, where the bytes are of a file: there is no head to turn and no speed to try."""
_ZIP: Final = b"PK\x03\x04"
_P1: Final = re.compile(rb"\d-\d:\d+\.\d+\.\d+\(")
_NO_TEXT: Final = re.compile(rb"[\0-\x08\x0e-\x1f]")
_LINES: Final = {
    MeterKind.DLMS_HDLC: LineKind.HDLC,
    MeterKind.DLMS_MBUS: LineKind.DLMS_M_BUS,
    MeterKind.DLMS_WRAPPER: LineKind.WRAPPER,
    MeterKind.DLMS_APDU: LineKind.MESSAGE,
    MeterKind.MBUS: LineKind.M_BUS,
    MeterKind.WIRELESS: LineKind.RADIO,
    MeterKind.CURRENT_COST: LineKind.CURRENT_COST,
}
NO_CLOCK: Final = frozenset({MeterKind.CURRENT_COST})
"""Whose telegrams say no date: their readers stamp them on arrival."""


@dataclass(frozen=True, slots=True)
class ProbedRegister:
    """A register of energy that a meter sends."""

    obis: Obis
    step: str
    """By what it goes on, such as `0.1 Wh`."""
    is_coarse: bool
    """Whether it counts whole kilowatt-hours."""


@dataclass(frozen=True, slots=True)
class ProbedMeter:
    """A meter that has sent something."""

    meter: bytes
    device_id: str | None
    registers: tuple[ProbedRegister, ...]
    others: tuple[Obis, ...]
    """What else it sends."""
    clock: str
    """`time of day`, `wrong time of day` (long past), `counts seconds` or `none`."""
    telegrams: int
    medium: Medium = Medium.ELECTRICITY


@dataclass(frozen=True, slots=True)
class ProbedLine:
    """What was found on a line."""

    kind: LineKind
    meters: tuple[ProbedMeter, ...]
    damaged: int
    is_hex: bool
    is_file: bool = False
    found: Recognised | None = None
    """By what it was recognised."""
    is_seven_bits: bool = False

    @property
    def advice(self) -> str:
        """What to do about it."""
        return (IN_A_FILE.get(self.kind) if self.is_file else None) or ADVICE[self.kind]


def probe(
    data: bytes, keys: MeterKeys = NO_KEYS, *, is_file: bool = False, is_whole: bool = True
) -> ProbedLine:
    """Return what a piece of a line, or a file, carries.

    Where it is not the whole of it, a frame that is begun at its end is no damage.
    """
    text = HexText()
    try:
        wire = text.feed(data) + text.close()
    except ValueError:  # hex, and then something else
        return ProbedLine(LineKind.NOISE, (), 0, text.is_hex)
    telegrams = StreamDecoder().feed(wire)
    intact = [one for one in telegrams if one.is_intact]
    damaged = len(telegrams) - len(intact)

    def none(kind: LineKind) -> ProbedLine:
        return ProbedLine(kind, (), damaged, text.is_hex, is_file)

    if intact:
        found = Recognised(MeterKind.SML, f"{len(intact)} frames of SML are whole")
        meters = tuple(_meters(intact))
        return ProbedLine(LineKind.SML, meters, damaged, text.is_hex, is_file, found)
    kind = _without_telegrams(wire)
    if kind is not None:
        return none(kind)
    found_kind = recognise_meter(wire, keys.encryption)
    if found_kind is None:
        return none(LineKind.NOISE)
    seven_bits = is_seven_bits(wire)
    heard, lost = _heard(found_kind.kind, wire, keys, seven_bits=seven_bits, is_whole=is_whole)
    kind = _LINES.get(found_kind.kind) or _text_kind(wire)
    return ProbedLine(kind, heard, lost, text.is_hex, is_file, found_kind, seven_bits)


def is_known(line: ProbedLine) -> bool:
    """Tell whether another speed would show nothing better."""
    if line.kind in (LineKind.SILENCE, LineKind.NOISE):
        return False
    return line.found is None or line.found.is_sure


def _without_telegrams(wire: bytes) -> LineKind | None:
    """Return what bytes are that show no meter, or one that has to be heard otherwise."""
    if not wire:
        return LineKind.SILENCE
    if wire.startswith(_ZIP):
        return LineKind.ARCHIVE
    if START in wire:
        seven_bits = len(wire) > 64 and max(wire) < 0x80
        return LineKind.SEVEN_BIT_SML if seven_bits else LineKind.DAMAGED_SML
    begin = wire.lstrip()[:1]
    is_web_text = begin in (b"{", b"[") or (begin == b"<" and b"<msg>" not in wire)
    if is_web_text and not _NO_TEXT.search(wire):
        return LineKind.WEB_TEXT
    if wire.lstrip(b"\0")[:1] == b"\x76" and read_file(wire).messages:
        return LineKind.BARE_SML
    return None


def _text_kind(wire: bytes) -> LineKind:
    plain = bytes(byte & 0x7F for byte in wire)
    is_sealed = wire[:1] == b"\xdb"
    is_p1 = is_sealed or (_P1.search(plain) and (b"1-3:0.2.8" in plain or b"0-0:1.0.0" in plain))
    return LineKind.DSMR if is_p1 else LineKind.IEC_62056_21


def _heard(
    kind: MeterKind, wire: bytes, keys: MeterKeys, *, seven_bits: bool, is_whole: bool
) -> tuple[tuple[ProbedMeter, ...], int]:
    """Return the meters that a hub would hear, and how much it could not read."""
    if kind in (MeterKind.SML, MeterKind.DLMS_APDU):
        return (), 0
    reader = reader_of(kind, UTC, lambda: 0, keys, seven_bits=seven_bits)
    parts = [reader.feed(wire), reader.close()]
    by_meter: dict[tuple[bytes, Medium], list[MeterTelegram]] = {}
    for one in (one for part in parts for one in part.telegrams):
        medium = Medium(next(iter(one.counted)).medium) if one.counted else Medium.ELECTRICITY
        by_meter.setdefault((one.meter, medium), []).append(one)
    meters = [
        _probed(meter, medium, telegrams, has_clock=kind not in NO_CLOCK)
        for (meter, medium), telegrams in by_meter.items()
    ]
    return tuple(meters), sum(len(part.lost) for part in (parts if is_whole else parts[:1]))


def _probed(
    meter: bytes, medium: Medium, telegrams: Sequence[MeterTelegram], *, has_clock: bool
) -> ProbedMeter:
    steps: dict[Quantity, int] = {}
    for quantity, one in (pair for telegram in telegrams for pair in telegram.counted.items()):
        steps[quantity] = min(one.at_least, steps.get(quantity, one.at_least))
    registers = tuple(
        ProbedRegister(
            Obis(bytes([quantity.medium, 0, quantity.c, quantity.d, quantity.e, 255])),
            f"{step} {medium.step}",
            not medium.counts_volume and step >= COARSE_WH,
        )
        for quantity, step in steps.items()
    )
    clock = "time of day" if has_clock and any(t.time is not None for t in telegrams) else "none"
    return ProbedMeter(meter, None, registers, (), clock, len(telegrams), medium)


def _meters(telegrams: Sequence[Telegram]) -> Iterator[ProbedMeter]:
    lists: dict[bytes, list[GetListRes]] = {}
    for telegram in telegrams:
        for message in telegram.file.messages:
            if isinstance(message.body, GetListRes):
                lists.setdefault(message.body.server_id, []).append(message.body)
    for meter, bodies in lists.items():
        shown: dict[Obis, list[tuple[int, int]]] = {}
        others: dict[Obis, None] = {}
        for entry in (entry for body in bodies for entry in body.entries):
            if entry.unit == UNIT_WH and isinstance(entry.value, int) and len(entry.obis.code) == 6:
                shown.setdefault(entry.obis, []).append((int(entry.value), entry.scaler or 0))
            else:
                others[entry.obis] = None
        yield ProbedMeter(
            meter,
            device_id_of(meter),
            tuple(_register(obis, values) for obis, values in shown.items()),
            tuple(others),
            _clock(bodies),
            len(bodies),
        )


def _register(obis: Obis, values: Sequence[tuple[int, int]]) -> ProbedRegister:
    scaler = min(scaler for _, scaler in values)
    whole = all(
        value * 10 ** max(s, 0) % (COARSE_WH * 10 ** max(-s, 0)) == 0 for value, s in values
    )
    is_coarse = scaler >= 3 or (whole and any(value for value, _ in values))
    step = "1000 Wh" if is_coarse else f"{10**scaler if scaler >= 0 else 1 / 10**-scaler:g} Wh"
    return ProbedRegister(obis, step, is_coarse)


def _clock(bodies: Sequence[GetListRes]) -> str:
    times = [body.sensor_time for body in bodies] + [e.time for b in bodies for e in b.entries]
    stamps = [time for time in times if time is not None]
    if any(time.choice in STAMPS for time in stamps):
        energies = ([e.time for e in b.entries if e.unit == UNIT_WH] for b in bodies)
        read_at = [t for b, of in zip(bodies, energies, strict=True) for t in (b.sensor_time, *of)]
        wrong = (t for t in read_at if t is not None and t.choice in STAMPS)
        return "wrong time of day" if any(t.seconds < EARLIEST for t in wrong) else "time of day"
    return "counts seconds" if stamps else "none"
