# SPDX-License-Identifier: Apache-2.0
"""Compact frames (EN 13757-3): values whose heads an earlier full frame has shown.

    signature of the format, 2 | CRC of the full frame, 2 | values

The signature is the CRC of all heads one after the other; it leads to the format. The CRC covers
heads and values as the full frame has them, so values under a wrong format are found out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from meter_codecs.mbus.crc import crc16
from meter_codecs.mbus.errors import ChecksumMismatch, MalformedMbus, UnknownFormat
from meter_codecs.mbus.records import Body, Head, decode_body, read_head, variable_size

FORMATS_KEPT: Final = 256

_PUBLISHED: Final = (
    # water: Multical 21, flowIQ
    "02FF2004134413615B6167", "02FF20041392013BA1015B8101E7FF0F",
    "02FF2004134413A1015B8101E7FF0F", "02FF2004134413615B5167", "02FF2004134413",
    "02FF200413523B", "04FF234413523B06FF1B426C61675167023B04138101E7FF0F",
    "02FF2004134413426C523B615B616751678101E7FF0F06FF1B",
    "04FF2304134413426C023B92013BA2013B06FF1BA1015B91015BA10167",
    # heat and cooling: Multical 302, 402, 403, 602, 603, 803
    "030643060314426C022D01FF21", "030E430E0313426C022D01FF21", "030F430F0314426C022D01FF21",
    "040604FF0704FF080414043B0259025D04FF22026C44064414426C",
    "040E04FF0704FF08041384401484804014043B0259025D142D84100E84200E04FF22026C440E4413C44014"
    "C4804014426C",
    "040F04FF0704FF08041484401484804014043B0259025D142D84100F84200F04FF22026C440F4414C44014"
    "C4804014426C",
    "040604FF0704FF080414043B042D0259025D04FF220422143B142D",
    "040F04FF0704FF08041402FD17043B0259025D",
    "02F9FF15040604EEFF0704EEFF0804148440148480401402FD17026C426C44064414C44014C4804014043B"
    "0259025D",
    # electricity: Omnipower, EM24; pressure
    "040404843C042B04AB3C", "040504FB827504853C04FB82F53C01FD17",
    "22691269026905FF0905FF0A02FD17",
    # water: Engelmann
    "426C441301FD17840113C40113840213C40213840313C40313840413C40413840513C40513840613C40613"
    "840713C40713840813046D0413",
)  # fmt: skip
"""The formats of meters' compact frames as their own full frames and public descriptions have them.

All are Kamstrup's but the last. A signature is not taken on trust: the CRC of the full frame tells
whether the values fit."""


def read_format(heads: bytes) -> tuple[Head, ...]:
    """Return the heads that stand one after the other in `heads`."""
    found, at = [], 0
    while at < len(heads):
        head = read_head(heads, at)
        found.append(head)
        at += len(head.wire)
    return tuple(found)


def decode_format(data: bytes) -> tuple[Head, ...]:
    """Return the heads of a format frame: its length, its signature, and the heads."""
    if len(data) < 3 or data[0] != len(data) - 1:
        raise MalformedMbus("a format frame is not as long as it says", offset=0)
    if crc16(data[3:]) != int.from_bytes(data[1:3], "little"):
        raise ChecksumMismatch("format frame", offset=1)
    return read_format(data[3:])


class FormatMemory:
    """The formats that were met, the last `FORMATS_KEPT` of them, and those that are published.

    A signature has 16 bits, so others can make a format with the same one. Formats are kept by
    their source, who is any hashable thing, and the published are not replaced.
    """

    def __init__(self) -> None:
        self._formats: OrderedDict[tuple[Hashable, int], tuple[Head, ...]] = OrderedDict()

    def learn(self, body: Body, source: Hashable = None) -> None:
        """Remember the format of a full frame."""
        if body.records:
            self.add(tuple(record.head for record in body.records), source)

    def add(self, heads: tuple[Head, ...], source: Hashable = None) -> None:
        """Remember a format."""
        key = source, crc16(b"".join(head.wire for head in heads))
        self._formats[key] = heads
        self._formats.move_to_end(key)
        while len(self._formats) > FORMATS_KEPT:
            self._formats.popitem(last=False)

    def find(self, signature: int, source: Hashable = None) -> tuple[Head, ...]:
        """Return the format of a signature; raise `UnknownFormat` for one not met."""
        found = _known().get(signature) or self._formats.get((source, signature))
        if found is None:
            raise UnknownFormat(
                f"compact frame of format {signature:04x}: no full frame has shown it yet"
            )
        return found


_FIRST: Final[dict[int, tuple[Head, ...]]] = {}


def _known() -> dict[int, tuple[Head, ...]]:
    if not _FIRST:
        for text in _PUBLISHED:
            heads = bytes.fromhex(text)
            _FIRST[crc16(heads)] = read_format(heads)
    return _FIRST


def decode_compact(data: bytes, formats: FormatMemory, source: Hashable = None) -> Body:
    """Return the body that the full frame would have."""
    if len(data) < 4:
        raise MalformedMbus("end within the head of a compact frame", offset=len(data))
    heads = formats.find(int.from_bytes(data[:2], "little"), source)
    full, at = bytearray(), 4
    for head in heads:
        size = head.size
        if size < 0:
            length = variable_size(data[at]) if at < len(data) else None
            if length is None:
                raise MalformedMbus("a value without its length", offset=at)
            size = length + 1
        if len(data) - at < size:
            raise MalformedMbus(f"a value of {size} bytes, {len(data) - at} are left", offset=at)
        full += head.wire + data[at : at + size]
        at += size
    tail = data[at:]
    if tail.strip(b"\x2f"):
        raise MalformedMbus(f"{len(tail)} bytes more than the format has", offset=at)
    if crc16(bytes(full)) != int.from_bytes(data[2:4], "little"):
        raise ChecksumMismatch("full frame of a compact frame", offset=2)
    return decode_body(bytes(full))


def encode_compact(body: Body) -> bytes:
    """Return the content of a compact frame with the values of a body."""
    heads = b"".join(record.head.wire for record in body.records)
    full = b"".join(record.encode() for record in body.records)
    return (
        crc16(heads).to_bytes(2, "little")
        + crc16(full).to_bytes(2, "little")
        + b"".join(record.data for record in body.records)
    )
