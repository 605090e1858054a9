# SPDX-License-Identifier: Apache-2.0
"""ACTION: invoking methods (DLMS UA 1000-2, clause 9.3.7).

    c3 01 invoke | method | 00 or 01 value      c7 01 invoke | outcome
    c3 02 invoke | block number                 c7 02 invoke | block
    c3 03 invoke | methods | values             c7 03 invoke | outcomes
    c3 04 invoke | method | block               c7 04 invoke | block number
    c3 05 invoke | methods | block
    c3 06 invoke | block

An outcome is a result, and 00 or 01 and what came back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from dlms_codec.apdus.addressing import (
    ActionResult,
    DataBlock,
    Failure,
    Method,
    Value,
    block_number,
    encode_list,
    encode_result,
    head,
    read_action_result,
    read_result,
    unknown_form,
)
from dlms_codec.axdr import encode_data
from dlms_codec.data import Data
from dlms_codec.reader import Reader


@dataclass(frozen=True, slots=True)
class NoParameters:
    """A method is invoked without any; null data would be some."""


NO_PARAMETERS: Final = NoParameters()


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """Invokes one method."""

    invoke: int
    method: Method
    parameters: Data | NoParameters = NO_PARAMETERS
    tag: ClassVar[int] = 0xC3

    def encode(self) -> bytes:
        """Return the APDU."""
        begin = head(self.tag, 1, self.invoke) + self.method.encode()
        if isinstance(self.parameters, NoParameters):
            return begin + b"\0"
        return begin + b"\x01" + encode_data(self.parameters)


@dataclass(frozen=True, slots=True)
class ActionRequestNext:
    """Asks for the block behind `block` of what came back."""

    invoke: int
    block: int
    tag: ClassVar[int] = 0xC3

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 2, self.invoke) + block_number(self.block)


@dataclass(frozen=True, slots=True)
class ActionRequestList:
    """Invokes several methods."""

    invoke: int
    methods: tuple[Method, ...]
    parameters: tuple[Data, ...]
    tag: ClassVar[int] = 0xC3

    def encode(self) -> bytes:
        """Return the APDU."""
        methods = encode_list(method.encode() for method in self.methods)
        values = encode_list(map(encode_data, self.parameters))
        return head(self.tag, 3, self.invoke) + methods + values


@dataclass(frozen=True, slots=True)
class ActionRequestFirstBlock:
    """Begins to invoke a method with parameters in blocks."""

    invoke: int
    method: Method
    block: DataBlock
    tag: ClassVar[int] = 0xC3

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 4, self.invoke) + self.method.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestListFirstBlock:
    """Begins to invoke several methods with parameters in blocks."""

    invoke: int
    methods: tuple[Method, ...]
    block: DataBlock
    tag: ClassVar[int] = 0xC3

    def encode(self) -> bytes:
        """Return the APDU."""
        methods = encode_list(method.encode() for method in self.methods)
        return head(self.tag, 5, self.invoke) + methods + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionRequestBlock:
    """Goes on with parameters in blocks."""

    invoke: int
    block: DataBlock
    tag: ClassVar[int] = 0xC3

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 6, self.invoke) + self.block.encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How invoking a method went, and what came back, if something did."""

    result: ActionResult | int
    returned: Value | Failure | None = None

    def encode(self) -> bytes:
        """Return the outcome."""
        back = b"\0" if self.returned is None else b"\x01" + encode_result(self.returned)
        return bytes([self.result]) + back

    @classmethod
    def read(cls, reader: Reader) -> Outcome:
        """Return the outcome that stands here."""
        return cls(read_action_result(reader), read_result(reader) if reader.flag() else None)


@dataclass(frozen=True, slots=True)
class ActionResponse:
    """Says how invoking went."""

    invoke: int
    outcome: Outcome
    tag: ClassVar[int] = 0xC7

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 1, self.invoke) + self.outcome.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseBlock:
    """Answers with a piece of what came back."""

    invoke: int
    block: DataBlock
    tag: ClassVar[int] = 0xC7

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 2, self.invoke) + self.block.encode()


@dataclass(frozen=True, slots=True)
class ActionResponseList:
    """Says how invoking each method went."""

    invoke: int
    outcomes: tuple[Outcome, ...]
    tag: ClassVar[int] = 0xC7

    def encode(self) -> bytes:
        """Return the APDU."""
        outcomes = encode_list(outcome.encode() for outcome in self.outcomes)
        return head(self.tag, 3, self.invoke) + outcomes


@dataclass(frozen=True, slots=True)
class ActionResponseNext:
    """Takes a block of parameters and asks for the next."""

    invoke: int
    block: int
    tag: ClassVar[int] = 0xC7

    def encode(self) -> bytes:
        """Return the APDU."""
        return head(self.tag, 4, self.invoke) + block_number(self.block)


AnyActionRequest: TypeAlias = (
    ActionRequest
    | ActionRequestNext
    | ActionRequestList
    | ActionRequestFirstBlock
    | ActionRequestListFirstBlock
    | ActionRequestBlock
)
AnyActionResponse: TypeAlias = (
    ActionResponse | ActionResponseBlock | ActionResponseList | ActionResponseNext
)


def read_action_request(reader: Reader) -> AnyActionRequest:
    """Return the request whose tag was read."""
    form, invoke = reader.uint(1), reader.uint(1)
    if form == 1:
        method = Method.read(reader)
        return ActionRequest(invoke, method, reader.value() if reader.flag() else NO_PARAMETERS)
    if form == 2:
        return ActionRequestNext(invoke, reader.uint(4))
    if form == 3:
        methods = _methods(reader)
        count = reader.count()
        return ActionRequestList(invoke, methods, tuple(reader.value() for _ in range(count)))
    if form == 4:
        return ActionRequestFirstBlock(invoke, Method.read(reader), DataBlock.read(reader))
    if form == 5:
        return ActionRequestListFirstBlock(invoke, _methods(reader), DataBlock.read(reader))
    if form == 6:
        return ActionRequestBlock(invoke, DataBlock.read(reader))
    raise unknown_form("action-request", form)


def read_action_response(reader: Reader) -> AnyActionResponse:
    """Return the response whose tag was read."""
    form, invoke = reader.uint(1), reader.uint(1)
    if form == 1:
        return ActionResponse(invoke, Outcome.read(reader))
    if form == 2:
        return ActionResponseBlock(invoke, DataBlock.read(reader))
    if form == 3:
        count = reader.count()
        return ActionResponseList(invoke, tuple(Outcome.read(reader) for _ in range(count)))
    if form == 4:
        return ActionResponseNext(invoke, reader.uint(4))
    raise unknown_form("action-response", form)


def _methods(reader: Reader) -> tuple[Method, ...]:
    return tuple(Method.read(reader) for _ in range(reader.count()))
