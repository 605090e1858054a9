# SPDX-License-Identifier: Apache-2.0
"""GET: reading attributes (DLMS UA 1000-2, clause 9.3.5).

c0 01 invoke | attribute                    c4 01 invoke | result
c0 02 invoke | block number                 c4 02 invoke | last | number | 00 piece or 01 why not
c0 03 invoke | count, attributes            c4 03 invoke | count, results
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from dlms_codec.apdus.addressing import (
    Attribute,
    Failure,
    Value,
    block_number,
    encode_list,
    encode_result,
    head,
    read_access_result,
    read_result,
    unknown_form,
)
from dlms_codec.axdr import encode_octets
from dlms_codec.reader import Reader


@dataclass(frozen=True, slots=True)
class GetRequest:
    """Asks for one attribute."""

    invoke: int
    attribute: Attribute
    tag: ClassVar[int] = 0xC0

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 1, self.invoke) + self.attribute.encode()


@dataclass(frozen=True, slots=True)
class GetRequestNext:
    """Asks for the block behind `block`."""

    invoke: int
    block: int
    tag: ClassVar[int] = 0xC0

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 2, self.invoke) + block_number(self.block)


@dataclass(frozen=True, slots=True)
class GetRequestList:
    """Asks for several attributes."""

    invoke: int
    attributes: tuple[Attribute, ...]
    tag: ClassVar[int] = 0xC0

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 3, self.invoke) + encode_list(a.encode() for a in self.attributes)


@dataclass(frozen=True, slots=True)
class GetResponse:
    """Answers with a value, or why there is none."""

    invoke: int
    result: Value | Failure
    tag: ClassVar[int] = 0xC4

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 1, self.invoke) + encode_result(self.result)


@dataclass(frozen=True, slots=True)
class GetResponseBlock:
    """Answers with a piece of the value, or why there is none."""

    invoke: int
    last: bool
    block: int
    result: bytes | Failure
    tag: ClassVar[int] = 0xC4

    def encode(self) -> bytes:
        """Return the APDU."""
        begin = head(self.tag, 2, self.invoke) + bytes([self.last]) + block_number(self.block)
        if isinstance(self.result, Failure):
            return begin + encode_result(self.result)
        return begin + b"\0" + encode_octets(self.result)


@dataclass(frozen=True, slots=True)
class GetResponseList:
    """Answers for each attribute."""

    invoke: int
    results: tuple[Value | Failure, ...]
    tag: ClassVar[int] = 0xC4

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 3, self.invoke) + encode_list(map(encode_result, self.results))


AnyGetRequest: TypeAlias = GetRequest | GetRequestNext | GetRequestList
AnyGetResponse: TypeAlias = GetResponse | GetResponseBlock | GetResponseList


def read_get_request(reader: Reader) -> AnyGetRequest:
    """Return the request whose tag was read."""
    form, invoke = reader.uint(1), reader.uint(1)
    if form == 1:
        return GetRequest(invoke, Attribute.read(reader))
    if form == 2:
        return GetRequestNext(invoke, reader.uint(4))
    if form == 3:
        count = reader.count()
        return GetRequestList(invoke, tuple(Attribute.read(reader) for _ in range(count)))
    raise unknown_form("get-request", form)


def read_get_response(reader: Reader) -> AnyGetResponse:
    """Return the response whose tag was read."""
    form, invoke = reader.uint(1), reader.uint(1)
    if form == 1:
        return GetResponse(invoke, read_result(reader))
    if form == 2:
        last, number = reader.flag(), reader.uint(4)
        failed = reader.flag()
        result = Failure(read_access_result(reader)) if failed else reader.octets()
        return GetResponseBlock(invoke, last, number, result)
    if form == 3:
        count = reader.count()
        return GetResponseList(invoke, tuple(read_result(reader) for _ in range(count)))
    raise unknown_form("get-response", form)
