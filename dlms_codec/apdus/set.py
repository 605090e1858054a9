# SPDX-License-Identifier: Apache-2.0
"""SET: writing attributes (DLMS UA 1000-2, clause 9.3.6).

c1 01 invoke | attribute | value            c5 01 invoke | result
c1 02 invoke | attribute | block            c5 02 invoke | block number
c1 03 invoke | block                        c5 03 invoke | result | block number
c1 04 invoke | attributes | values          c5 04 invoke | results | block number
c1 05 invoke | attributes | block           c5 05 invoke | results
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from dlms_codec.apdus.addressing import (
    AccessResult,
    Attribute,
    DataBlock,
    block_number,
    encode_list,
    head,
    read_access_result,
    unknown_form,
)
from dlms_codec.axdr import encode_data
from dlms_codec.data import Data
from dlms_codec.reader import Reader


@dataclass(frozen=True, slots=True)
class SetRequest:
    """Writes one attribute."""

    invoke: int
    attribute: Attribute
    value: Data
    tag: ClassVar[int] = 0xC1

    def encode(self) -> bytes:
        """Return the APDU."""
        begin = head(self.tag, 1, self.invoke)
        return begin + self.attribute.encode() + encode_data(self.value)


@dataclass(frozen=True, slots=True)
class SetRequestFirstBlock:
    """Begins to write one attribute in blocks."""

    invoke: int
    attribute: Attribute
    block: DataBlock
    tag: ClassVar[int] = 0xC1

    def encode(self) -> bytes:
        """Return the APDU."""
        begin = head(self.tag, 2, self.invoke)
        return begin + self.attribute.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetRequestBlock:
    """Goes on writing in blocks."""

    invoke: int
    block: DataBlock
    tag: ClassVar[int] = 0xC1

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 3, self.invoke) + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetRequestList:
    """Writes several attributes."""

    invoke: int
    attributes: tuple[Attribute, ...]
    values: tuple[Data, ...]
    tag: ClassVar[int] = 0xC1

    def encode(self) -> bytes:
        """Return the APDU."""
        names = encode_list(attribute.encode() for attribute in self.attributes)
        return head(self.tag, 4, self.invoke) + names + encode_list(map(encode_data, self.values))


@dataclass(frozen=True, slots=True)
class SetRequestListFirstBlock:
    """Begins to write several attributes in blocks."""

    invoke: int
    attributes: tuple[Attribute, ...]
    block: DataBlock
    tag: ClassVar[int] = 0xC1

    def encode(self) -> bytes:
        """Return the APDU."""
        names = encode_list(attribute.encode() for attribute in self.attributes)
        return head(self.tag, 5, self.invoke) + names + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetResponse:
    """Says how writing went."""

    invoke: int
    result: AccessResult | int
    tag: ClassVar[int] = 0xC5

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 1, self.invoke) + bytes([self.result])


@dataclass(frozen=True, slots=True)
class SetResponseBlock:
    """Takes a block and asks for the next."""

    invoke: int
    block: int
    tag: ClassVar[int] = 0xC5

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 2, self.invoke) + block_number(self.block)


@dataclass(frozen=True, slots=True)
class SetResponseLastBlock:
    """Takes the last block and says how writing went."""

    invoke: int
    result: AccessResult | int
    block: int
    tag: ClassVar[int] = 0xC5

    def encode(self) -> bytes:
        """Return the APDU."""
        begin = head(self.tag, 3, self.invoke)
        return begin + bytes([self.result]) + block_number(self.block)


@dataclass(frozen=True, slots=True)
class SetResponseListLastBlock:
    """Takes the last block and says how writing each attribute went."""

    invoke: int
    results: tuple[AccessResult | int, ...]
    block: int
    tag: ClassVar[int] = 0xC5

    def encode(self) -> bytes:
        """Return the APDU."""
        results = encode_list(bytes([result]) for result in self.results)
        return head(self.tag, 4, self.invoke) + results + block_number(self.block)


@dataclass(frozen=True, slots=True)
class SetResponseList:
    """Says how writing each attribute went."""

    invoke: int
    results: tuple[AccessResult | int, ...]
    tag: ClassVar[int] = 0xC5

    def encode(self) -> bytes:
        """Return the APDU."""
        begin = head(self.tag, 5, self.invoke)
        return begin + encode_list(bytes([result]) for result in self.results)


AnySetRequest: TypeAlias = (
    SetRequest | SetRequestFirstBlock | SetRequestBlock | SetRequestList | SetRequestListFirstBlock
)
AnySetResponse: TypeAlias = (
    SetResponse
    | SetResponseBlock
    | SetResponseLastBlock
    | SetResponseListLastBlock
    | SetResponseList
)


def read_set_request(reader: Reader) -> AnySetRequest:
    """Return the request whose tag was read."""
    form, invoke = reader.uint(1), reader.uint(1)
    if form == 1:
        return SetRequest(invoke, Attribute.read(reader), reader.value())
    if form == 2:
        return SetRequestFirstBlock(invoke, Attribute.read(reader), DataBlock.read(reader))
    if form == 3:
        return SetRequestBlock(invoke, DataBlock.read(reader))
    if form == 4:
        attributes = _attributes(reader)
        count = reader.count()
        return SetRequestList(invoke, attributes, tuple(reader.value() for _ in range(count)))
    if form == 5:
        return SetRequestListFirstBlock(invoke, _attributes(reader), DataBlock.read(reader))
    raise unknown_form("set-request", form)


def read_set_response(reader: Reader) -> AnySetResponse:
    """Return the response whose tag was read."""
    form, invoke = reader.uint(1), reader.uint(1)
    if form == 1:
        return SetResponse(invoke, read_access_result(reader))
    if form == 2:
        return SetResponseBlock(invoke, reader.uint(4))
    if form == 3:
        return SetResponseLastBlock(invoke, read_access_result(reader), reader.uint(4))
    if form == 4:
        return SetResponseListLastBlock(invoke, _results(reader), reader.uint(4))
    if form == 5:
        return SetResponseList(invoke, _results(reader))
    raise unknown_form("set-response", form)


def _attributes(reader: Reader) -> tuple[Attribute, ...]:
    return tuple(Attribute.read(reader) for _ in range(reader.count()))


def _results(reader: Reader) -> tuple[AccessResult | int, ...]:
    return tuple(read_access_result(reader) for _ in range(reader.count()))
