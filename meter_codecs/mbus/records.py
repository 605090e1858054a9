# SPDX-License-Identifier: Apache-2.0
"""Records of the application layer (EN 13757-3): what is measured, and the value.

    DIF [DIFE ...] VIF [text] [VIFE ...] data      a record
    0f data  or  1f data                           the manufacturer's own data; 1f: more follows
    2f                                             filler

    DIF    7: DIFE follows  6: lowest bit of the storage number  5-4: function  3-0: kind of data
    DIFE   7: DIFE follows  6: subunit  5-4: tariff  3-0: storage number
    VIF    7: VIFE follows  6-0: quantity and scaler

A meter sends the same heads again and again. Each head that was understood once is kept, up to
`HEADS_KEPT` of them, so that a record costs a look-up and its value.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from meter_codecs.mbus import values
from meter_codecs.mbus._twins import twin
from meter_codecs.mbus.errors import EncodingError, MalformedMbus
from meter_codecs.mbus.quantities import ACCESS_NUMBER, MEANINGS, Quantity, quantity
from meter_codecs.mbus.values import Decoder, Value

FILLER: Final = 0x2F
OWN_DATA: Final = 0x0F
OWN_DATA_AND_MORE: Final = 0x1F
MOST_EXTENSIONS: Final = 10
"""The most DIFEs, and the most VIFEs, of a record."""
HEADS_KEPT: Final = 4096

_TEXT_LENGTH: Final = 0xBF  # the longest text of an LVAR, and so of its code
_VARIABLE: Final = -1
_MANUFACTURER: Final = 0x7F
_MORE_CODES: Final = 0x7C  # as a VIFE: the next one is of another table
_TIMES_1000: Final = 0x7D


class Function(enum.Enum):
    """Which value of its time a value is."""

    INSTANTANEOUS = "instantaneous"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    ERROR = "error"
    """The value that held while an error lasted."""


_FUNCTIONS: Final = tuple(Function)


@dataclass(frozen=True, slots=True)
class Head:
    """All of a record but its data, understood."""

    wire: bytes
    quantity: Quantity
    storage: int
    tariff: int
    subunit: int
    function: Function
    extensions: bytes
    """The codes of the VIFEs, without their extension bits."""
    scaler: int
    size: int
    """How many bytes of data follow; -1 if they tell their own length."""
    decode: Decoder

    @property
    def meaning(self) -> str:
        """What the value is, in words as good as there are."""
        return MEANINGS.get(self.quantity.name, self.quantity.name)


@dataclass(frozen=True, slots=True)
class Record:
    """One value; `offset` is where it begins in the body."""

    head: Head
    data: bytes
    """The bytes of the value; where they tell their own length, that comes first."""
    value: Value
    offset: int

    @property
    def name(self) -> str:
        """What is measured: `volume`, `date-time`, or `vif fd67` if the standard's tables end."""
        return self.head.quantity.name

    @property
    def unit(self) -> str | None:
        """The unit of the scaled value."""
        return self.head.quantity.unit

    @property
    def scaler(self) -> int | None:
        """The power of ten to multiply with; None for what is no number."""
        return self.head.scaler if isinstance(self.value, int | float) else None

    @property
    def storage(self) -> int:
        """Which memory: 0 is now, others are earlier."""
        return self.head.storage

    @property
    def tariff(self) -> int:
        """Which tariff; 0 is all of them."""
        return self.head.tariff

    @property
    def subunit(self) -> int:
        """Which part of the meter."""
        return self.head.subunit

    @property
    def function(self) -> Function:
        """Which value of its time it is."""
        return self.head.function

    @property
    def is_invalid(self) -> bool:
        """Whether the meter says that it has no value: digits above 9, or the lowest number."""
        if self.value is None:
            return True
        binary = self.head.decode is values.integer
        return binary and self.data[-1:] == b"\x80" and not any(self.data[:-1])

    @property
    def flags(self) -> int | None:
        """A binary number as bits, without a sign, as error flags and inputs are meant."""
        binary = self.head.decode is values.integer
        return int.from_bytes(self.data, "little") if binary else None

    @property
    def scaled(self) -> Decimal | None:
        """The exact value in `unit`; None if it is invalid or no number."""
        if not isinstance(self.value, int | float) or self.is_invalid:
            return None
        sign, digits, exponent = Decimal(self.value).as_tuple()
        return Decimal((sign, digits, int(exponent) + self.head.scaler))

    def encode(self) -> bytes:
        """Return the record's bytes."""
        return self.head.wire + self.data


@dataclass(frozen=True, slots=True)
class Body:
    """The records of a telegram, what the manufacturer adds, and whether more follows."""

    records: tuple[Record, ...]
    own_data: bytes | None = None
    """The manufacturer's own data behind the records."""
    more_follows: bool = False
    size: int | None = None
    """Bytes in all, fillers included; None: as many as there are records."""

    def encode(self) -> bytes:
        """Return the body's bytes, with fillers where they stood."""
        parts = bytearray()
        for record in self.records:
            parts += b"\x2f" * (record.offset - len(parts)) + record.encode()
        tail = b""
        if self.more_follows:
            tail = bytes([OWN_DATA_AND_MORE]) + (self.own_data or b"")
        elif self.own_data is not None:
            tail = bytes([OWN_DATA]) + self.own_data
        if self.size is not None:
            parts += b"\x2f" * (self.size - len(parts) - len(tail))
        return bytes(parts + tail)


_DECODERS: Final[dict[int, tuple[int, Decoder]]] = {
    0x0: (0, values.no_value),
    0x1: (1, values.integer),
    0x2: (2, values.integer),
    0x3: (3, values.integer),
    0x4: (4, values.integer),
    0x5: (4, values.real),
    0x6: (6, values.integer),
    0x7: (8, values.integer),
    0x8: (0, values.no_value),
    0x9: (1, values.decimal),
    0xA: (2, values.decimal),
    0xB: (3, values.decimal),
    0xC: (4, values.decimal),
    0xD: (_VARIABLE, values.no_value),
    0xE: (6, values.decimal),
}
"""Size and coding by the kind of data."""


def variable_size(code: int) -> int | None:
    """Return how many bytes follow a length code of data of variable length; None: reserved."""
    if code <= _TEXT_LENGTH:
        return code
    if code in range(0xC0, 0xCA) or code in range(0xD0, 0xDA) or code in range(0xE0, 0xF0):
        return code & 0x0F
    if code in range(0xF0, 0xF5):
        return 4 * (code - 0xEC)
    return {0xF5: 48, 0xF6: 64}.get(code)


def variable(data: bytes) -> Value:
    """Return the value of data of variable length, their code first."""
    code, content = data[0], data[1:]
    if code <= _TEXT_LENGTH:
        return values.text(content)
    if code < 0xE0:
        number = int(content[::-1].hex() or "0", 10) if content.hex().isdecimal() else None
        return -number if number is not None and code >= 0xD0 else number
    return values.integer(content)


def _scaler(extensions: bytes, scaler: int) -> int:
    """Return the scaler after the corrections of the VIFEs; the manufacturer's own do not count."""
    codes = iter(extensions)
    for code in codes:
        if code == _MANUFACTURER:
            break
        if code == _MORE_CODES:
            next(codes, None)
        elif code == _TIMES_1000:
            scaler += 3
        elif 0x70 <= code <= 0x77:
            scaler += code - 0x76
    return scaler


class _Cursor:
    """Where reading a head has come to."""

    def __init__(self, body: bytes, at: int) -> None:
        self.body, self.at = body, at

    def byte(self, what: str) -> int:
        if self.at >= len(self.body):
            raise MalformedMbus(f"end before {what}", offset=self.at)
        self.at += 1
        return self.body[self.at - 1]

    def chain(self, first: int, what: str) -> bytes:
        """Return the extensions that follow `first`, as they are."""
        start, last = self.at, first
        while last & 0x80:
            last = self.byte(what)
            if self.at - start > MOST_EXTENSIONS:
                raise MalformedMbus(f"more than {MOST_EXTENSIONS} {what}s", offset=self.at - 1)
        return self.body[start : self.at]


def _codes(chain: bytes) -> bytes:
    return bytes(code & 0x7F for code in chain)


def read_head(body: bytes, at: int) -> Head:
    """Return the head that begins at `at`; raise `MalformedMbus` if there is none."""
    cursor = _Cursor(body, at)
    dif = cursor.byte("DIF")
    kind = dif & 0x0F
    if kind == 0x0F:
        raise MalformedMbus(f"DIF {dif:02x} is reserved", offset=at)
    storage, tariff, subunit = dif >> 6 & 1, 0, 0
    for place, dife in enumerate(cursor.chain(dif, "DIFE")):
        storage |= (dife & 0x0F) << 4 * place + 1
        tariff |= (dife >> 4 & 3) << 2 * place
        subunit |= (dife >> 6 & 1) << place
    vif = cursor.byte("VIF")
    if vif & 0x7F == _MORE_CODES:
        size = cursor.byte("the length of the unit")
        start = cursor.at
        if size > _TEXT_LENGTH or start + size > len(body):
            raise MalformedMbus(f"the unit's length is {size}", offset=start - 1)
        cursor.at += size
        what = Quantity("text", values.text(body[start : cursor.at]))
        extensions = _codes(cursor.chain(vif, "VIFE"))
    else:
        extensions = _codes(cursor.chain(vif, "VIFE"))
        codes = bytes([vif & 0x7F])
        if vif in (0xFB, 0xFD):
            codes, extensions = codes + extensions[:1], extensions[1:]
        what = quantity(codes)
    own = what.name == "manufacturer"
    size, decode = _DECODERS[kind]
    if kind == 0x0D:
        decode = variable
    elif what.is_moment and decode is values.integer:
        decode = values.MOMENTS.get(size, decode)
    elif what.name == ACCESS_NUMBER and decode is values.integer:
        decode = values.count  # it counts from 0 to its end and begins again
    return Head(
        wire=body[at : cursor.at],
        quantity=what,
        storage=storage,
        tariff=tariff,
        subunit=subunit,
        function=_FUNCTIONS[dif >> 4 & 3],
        extensions=extensions,
        scaler=what.scaler if own else _scaler(extensions, what.scaler),
        size=size,
        decode=decode,
    )


_KNOWN: Final[dict[bytes, Head]] = {}


_Blank: Final = twin(Record)


def decode_body(body: bytes) -> Body:
    """Return the records that fill `body` exactly; raise `MalformedMbus` otherwise."""
    known, blank, end = _KNOWN.get, _Blank, len(body)
    records: list[Record] = []
    at = 0
    while at < end:
        start = at
        first = body[at]
        if first & 0x0F == 0x0F:
            if first == FILLER:
                at += 1
                continue
            if first in (OWN_DATA, OWN_DATA_AND_MORE):
                more = first == OWN_DATA_AND_MORE
                return Body(tuple(records), body[at + 1 :], more, end)
        try:
            while body[at] & 0x80:
                at += 1
            at += 1
            while body[at] & 0x80:
                at += 1
        except IndexError:
            at = end - 1  # what is missing is found below
        at += 1
        head = known(body[start:at])
        if head is None:
            head = _learn(body, start)
            at = start + len(head.wire)
        size = head.size
        if size < 0:
            size = _variable_length(body, at)
        data = body[at : at + size]
        if len(data) != size:
            raise MalformedMbus(f"a value of {size} bytes, {len(data)} are left", offset=at)
        at += size
        record = blank()
        record.head = head
        record.data = data
        record.value = head.decode(data)
        record.offset = start
        record.__class__ = Record
        records.append(record)
    return Body(tuple(records), None, False, end)


def _variable_length(body: bytes, at: int) -> int:
    """Return how long data of variable length are, with the byte that says so."""
    if at >= len(body):
        raise MalformedMbus("end before the length of a value", offset=at)
    size = variable_size(body[at])
    if size is None:
        raise MalformedMbus(f"the length code {body[at]:02x} is reserved", offset=at)
    return size + 1


def _learn(body: bytes, at: int) -> Head:
    """Return a head not met before, and keep it if the quick way finds its end."""
    head = read_head(body, at)
    if head.quantity.name != "text":
        if len(_KNOWN) >= HEADS_KEPT:
            _KNOWN.clear()
        _KNOWN[head.wire] = head
    return head


def make_record(head: bytes, value: Value, *, offset: int = 0) -> Record:
    """Return a record of a value; `head` are its DIF, DIFEs, VIF and VIFEs.

    Raises `EncodingError` if the head does not fit the value, `MalformedMbus` if it is none.
    """
    read = read_head(head, 0)
    if read.wire != head:
        raise EncodingError(f"{head.hex()} is more than one head")
    data = _encode(read, value)
    return Record(read, data, read.decode(data), offset)


def make_body(records: Iterable[Record], **rest: bytes | bool | None) -> Body:
    """Return a body of records one after the other."""
    placed, at = [], 0
    for record in records:
        placed.append(Record(record.head, record.data, record.value, at))
        at += len(record.encode())
    return Body(tuple(placed), **rest)  # type: ignore[arg-type]  # own_data and more_follows


def _encode(head: Head, value: Value) -> bytes:
    size, decode = head.size, head.decode
    match value:
        case None if size == 0:
            return b""
        case str() if decode is variable and len(value) <= _TEXT_LENGTH:
            return bytes([len(value)]) + values.encode_text(value)
        case datetime() if decode in (values.date_time_f, values.date_time_i):
            return values.encode_date_time(value, size)
        case date() if decode is values.date_g and not isinstance(value, datetime):
            return values.encode_date(value)
        case int() if decode is values.integer:
            return values.encode_integer(value, size)
        case int() if decode is values.count:
            return values.encode_count(value, size)
        case int() if decode is values.decimal:
            return values.encode_decimal(value, size)
        case int() | float() if decode is values.real:
            return values.encode_real(value)
        case int() if decode is variable:
            size = (value.bit_length() + 8) // 8
            if size > 0x0F:
                raise EncodingError(f"{value} takes {size} bytes, 15 at most")
            return bytes([0xE0 + size]) + values.encode_integer(value, size)
    raise EncodingError(f"{value!r} does not fit the head {head.wire.hex()}")
