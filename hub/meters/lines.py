# SPDX-License-Identifier: Apache-2.0
"""What comes over a line: SML that a hub can read, or what else it is, and what to do about it.

    1b 1b 1b 1b 01 01 01 01         SML; with all high bits gone: a line of seven bits
    / A B C 5 ... !                 IEC 62056-21, with or without the parity bit of 7E1; DSMR P1
    7e a0 ..                        DLMS over HDLC
    68 LL LL 68                     wired M-Bus
    76 ..                           a file of SML without frames
    < or {                          a web page, or JSON
    anything else                   another speed, or noise

What is said is what the bytes show. A hub reads SML alone; for the others there is a sentence.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hub.meters.admission import COARSE_WH, EARLIEST
from hub.meters.emulated import UNIT_WH
from hub.meters.sml_intake import STAMPS
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
    M_BUS = "M-Bus"
    WEB_TEXT = "a web page or JSON"
    ARCHIVE = "a ZIP archive or an Excel workbook"
    SILENCE = "nothing"
    NOISE = "unknown bytes"


ADVICE: Final = {
    LineKind.SML: "a hub reads this",
    LineKind.DAMAGED_SML: "frames begin and none is intact: clean the optical head and turn it",
    LineKind.BARE_SML: "a gateway's file, not a meter's line: `meterlet sml decode` shows it",
    LineKind.SEVEN_BIT_SML: "the high bit of each byte is lost: set the adapter to 8N1",
    LineKind.IEC_62056_21: "a hub reads SML alone: ask the grid operator for a meter that sends it",
    LineKind.DSMR: "a hub reads SML alone: `hub ingest` takes files of dsmr programs",
    LineKind.HDLC: "a hub reads SML alone: `meterlet` has a codec for DLMS, and no door for it",
    LineKind.M_BUS: "a hub reads SML alone: this is a heat, water or gas meter's bus",
    LineKind.WEB_TEXT: "give the address at which the bridge answers with raw telegrams",
    LineKind.ARCHIVE: "unpack it, or save the sheet as CSV: `meterlet hub ingest` takes that",
    LineKind.SILENCE: "nothing came: is the head on the meter, and its infrared port switched on?",
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
_TEXT: Final = re.compile(rb"/[A-Za-z]{3}[0-9A-Za-z]")
_READOUT: Final = re.compile(rb"\d+\.\d+(\.\d+)?(\*\d+)?\([^()\r\n]{0,64}\)")
_P1: Final = re.compile(rb"\d-\d:\d+\.\d+\.\d+\(")
_HDLC: Final = re.compile(rb"\x7e[\xa0-\xaf]")
_M_BUS: Final = re.compile(rb"\x68(.)\1\x68", re.DOTALL)


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


@dataclass(frozen=True, slots=True)
class ProbedLine:
    """What was found on a line."""

    kind: LineKind
    meters: tuple[ProbedMeter, ...]
    damaged: int
    is_hex: bool
    is_file: bool = False

    @property
    def advice(self) -> str:
        """What to do about it."""
        return (IN_A_FILE.get(self.kind) if self.is_file else None) or ADVICE[self.kind]


def probe(data: bytes, *, is_file: bool = False) -> ProbedLine:
    """Return what a piece of a line, or a file, carries."""
    text = HexText()
    wire = text.feed(data) + text.close()
    telegrams = StreamDecoder().feed(wire)
    intact = [one for one in telegrams if one.is_intact]
    meters = tuple(_meters(intact))
    kind = LineKind.SML if intact else _other(wire)
    return ProbedLine(kind, meters, len(telegrams) - len(intact), text.is_hex, is_file)


def is_known(kind: LineKind) -> bool:
    """Tell whether another speed would show nothing better."""
    return kind not in (LineKind.SILENCE, LineKind.NOISE)


def _other(wire: bytes) -> LineKind:
    if not wire:
        return LineKind.SILENCE
    if wire.startswith(_ZIP):
        return LineKind.ARCHIVE
    if START in wire:
        seven_bits = len(wire) > 64 and max(wire) < 0x80
        return LineKind.SEVEN_BIT_SML if seven_bits else LineKind.DAMAGED_SML
    if wire.lstrip()[:1] in (b"<", b"{", b"["):
        return LineKind.WEB_TEXT
    if wire.lstrip(b"\0")[:1] == b"\x76" and read_file(wire).messages:
        return LineKind.BARE_SML
    plain = bytes(byte & 0x7F for byte in wire)
    if (_TEXT.search(plain) and _is_text(plain)) or len(_READOUT.findall(plain)) > 2:
        return LineKind.DSMR if _P1.search(plain) and b"1-3:0.2.8" in plain else _IEC
    if any(_is_hdlc(wire, found.start()) for found in _HDLC.finditer(wire)):
        return LineKind.HDLC
    return LineKind.M_BUS if _M_BUS.search(wire) else LineKind.NOISE


def _is_text(data: bytes) -> bool:
    """Tell whether bytes are mostly text: in others there are any few letters somewhere."""
    return 10 * sum(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data) > 9 * len(data)


def _is_hdlc(wire: bytes, at: int) -> bool:
    """Tell whether a frame begins there and ends where its length says (ISO/IEC 13239, 4.9)."""
    end = at + 1 + int.from_bytes(wire[at + 1 : at + 3], "big") % (1 << 11)
    return wire[end : end + 1] == b"\x7e" or end >= len(wire) > at + 8


_ZIP: Final = b"PK\x03\x04"
_IEC: Final = LineKind.IEC_62056_21


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
