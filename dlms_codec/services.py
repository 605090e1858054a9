# SPDX-License-Identifier: Apache-2.0
"""GET, SET, ACTION and ACCESS on a table of objects: what a server does for who may ask.

A value that is longer than the client takes goes out in blocks, and a long one comes in so. One of
them is kept at a time, of at most `Limits.message` bytes: what is begun anew replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from dlms_codec.apdus import Apdu
from dlms_codec.apdus.access import SET, Access, AccessOutcome, AccessRequest, AccessResponse
from dlms_codec.apdus.action import (
    NO_PARAMETERS,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
    ActionRequestNext,
    ActionResponse,
    ActionResponseBlock,
    ActionResponseList,
    ActionResponseNext,
    NoParameters,
    Outcome,
)
from dlms_codec.apdus.addressing import (
    AccessResult,
    ActionResult,
    Attribute,
    DataBlock,
    Failure,
    Method,
    Value,
    encode_list,
    encode_result,
)
from dlms_codec.apdus.get import (
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    GetResponseList,
)
from dlms_codec.apdus.initiate import Conformance
from dlms_codec.apdus.refusals import ExceptionResponse
from dlms_codec.apdus.set import (
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetResponse,
    SetResponseBlock,
    SetResponseLastBlock,
    SetResponseList,
)
from dlms_codec.axdr import decode_data, encode_data
from dlms_codec.data import Data
from dlms_codec.errors import AccessRefused, MalformedDlms
from dlms_codec.objects import ObjectTable
from dlms_codec.options import Limits

MOST_REFERENCES: Final = 128
"""How many attributes or methods one request may name."""
BLOCK_HEAD: Final = 24
"""The most bytes of a response beside its block."""
SERVICE_UNKNOWN: Final = ExceptionResponse(2, 2)
TOO_LONG: Final = ExceptionResponse(1, 4)

Answer: TypeAlias = Apdu | bytes


@dataclass(slots=True)
class _LongAnswer:
    """What is left of an answer that goes out in blocks."""

    tag: int
    invoke: int
    raw: bytes
    at: int = 0
    number: int = 0


@dataclass(slots=True)
class _LongRequest:
    """What came of a request that comes in blocks."""

    tag: int
    invoke: int
    target: Attribute | Method
    raw: bytearray
    number: int = 1


class Services:
    """Answers the requests of one client from its table; `room` is the longest answer, in bytes."""

    def __init__(
        self, table: ObjectTable, room: int, limits: Limits, conformance: Conformance
    ) -> None:
        self._table = table
        self._conformance = conformance
        self._room = room
        self._limits = limits
        self._answer: _LongAnswer | None = None
        self._request: _LongRequest | None = None

    def answer(self, request: Apdu) -> bytes:
        """Return the answer to a request."""
        match request:
            case GetRequest() | GetRequestList():
                return self._get(request)
            case GetRequestNext() | ActionRequestNext():
                return self._next(request)
            case SetRequest():
                result = self._write(request.attribute, request.value)
                return SetResponse(request.invoke, result).encode()
            case SetRequestList():
                return self._set_list(request)
            case SetRequestFirstBlock():
                return self._first_block(request.invoke, request.attribute, request.block)
            case ActionRequestFirstBlock():
                return self._first_block(request.invoke, request.method, request.block)
            case SetRequestBlock() | ActionRequestBlock():
                return self._block(request)
            case ActionRequest():
                outcome = self._invoke(request.method, request.parameters)
                return self._action_answer(request.invoke, outcome)
            case ActionRequestList():
                return self._action_list(request)
            case AccessRequest() if Conformance.ACCESS in self._conformance:
                return self._access(request)
        return SERVICE_UNKNOWN.encode()

    # GET

    def _get(self, request: GetRequest | GetRequestList) -> bytes:
        if isinstance(request, GetRequest):
            result = self._read(request.attribute)
            whole = GetResponse(request.invoke, result)
            raw = encode_data(result.data) if isinstance(result, Value) else b""
        else:
            if len(request.attributes) > MOST_REFERENCES:
                return TOO_LONG.encode()
            encoded, size = [], 0
            for attribute in request.attributes:
                part = encode_result(self._read(attribute))
                if size + len(part) > self._limits.message:  # the rest is not even looked at
                    part = encode_result(Failure(AccessResult.DATA_BLOCK_UNAVAILABLE))
                encoded.append(part)
                size += len(part)
            raw = encode_list(encoded)
            if len(raw) + 3 <= self._room:
                return bytes([GetResponseList.tag, 3, request.invoke]) + raw
            return self._send_blocks(GetResponse.tag, request.invoke, raw)
        if len(raw) + 4 <= self._room:
            return whole.encode()
        return self._send_blocks(GetResponse.tag, request.invoke, raw)

    def _read(self, attribute: Attribute) -> Value | Failure:
        try:
            return Value(self._table.read(attribute))
        except AccessRefused as refusal:
            return Failure(refusal.result)

    # Long answers

    def _send_blocks(self, tag: int, invoke: int, raw: bytes) -> bytes:
        needed = (
            Conformance.BLOCK_TRANSFER_WITH_GET
            if tag == GetResponse.tag
            else Conformance.BLOCK_TRANSFER_WITH_ACTION
        )
        if len(raw) > self._limits.message or needed not in self._conformance:
            self._answer = None
            return _failed(tag, invoke, AccessResult.DATA_BLOCK_UNAVAILABLE)
        self._answer = _LongAnswer(tag, invoke, raw)
        return self._next_block(self._answer)

    def _next_block(self, long: _LongAnswer) -> bytes:
        stop = long.at + self._room - BLOCK_HEAD
        piece, last = long.raw[long.at : stop], stop >= len(long.raw)
        long.at, long.number = stop, long.number + 1
        if last:
            self._answer = None
        if long.tag == GetResponse.tag:
            return GetResponseBlock(long.invoke, last, long.number, piece).encode()
        return ActionResponseBlock(long.invoke, DataBlock(last, long.number, piece)).encode()

    def _next(self, request: GetRequestNext | ActionRequestNext) -> bytes:
        long, self._answer = self._answer, None
        tag = GetResponse.tag if isinstance(request, GetRequestNext) else ActionResponse.tag
        if long is None or long.tag != tag or long.invoke != request.invoke:
            return _failed(tag, request.invoke, AccessResult.NO_LONG_GET_IN_PROGRESS)
        if request.block != long.number:
            return _failed(tag, request.invoke, AccessResult.DATA_BLOCK_NUMBER_INVALID)
        self._answer = long
        return self._next_block(long)

    # SET

    def _write(self, attribute: Attribute, value: Data) -> AccessResult | int:
        try:
            self._table.write(attribute, value)
        except AccessRefused as refusal:
            return refusal.result
        return AccessResult.SUCCESS

    def _set_list(self, request: SetRequestList) -> bytes:
        if len(request.attributes) > MOST_REFERENCES:
            return TOO_LONG.encode()
        if len(request.attributes) != len(request.values):
            return SERVICE_UNKNOWN.encode()
        results = tuple(map(self._write, request.attributes, request.values))
        return SetResponseList(request.invoke, results).encode()

    # Long requests

    def _first_block(self, invoke: int, target: Attribute | Method, block: DataBlock) -> bytes:
        self._request = None
        tag = SetRequest.tag if isinstance(target, Attribute) else ActionRequest.tag
        if block.number != 1:
            return self._refused(tag, invoke, block.number, AccessResult.DATA_BLOCK_NUMBER_INVALID)
        return self._add(_LongRequest(tag, invoke, target, bytearray()), block)

    def _block(self, request: SetRequestBlock | ActionRequestBlock) -> bytes:
        long, self._request = self._request, None
        block = request.block
        if long is None or (long.tag, long.invoke) != (request.tag, request.invoke):
            reason = AccessResult.NO_LONG_SET_IN_PROGRESS
            return self._refused(request.tag, request.invoke, block.number, reason)
        if block.number != long.number:
            reason = AccessResult.DATA_BLOCK_NUMBER_INVALID
            return self._refused(request.tag, request.invoke, block.number, reason)
        return self._add(long, block)

    def _add(self, long: _LongRequest, block: DataBlock) -> bytes:
        too_long = len(long.raw) + len(block.piece) > self._limits.message
        if too_long or not (block.piece or block.last):
            reason = AccessResult.LONG_SET_ABORTED
            return self._refused(long.tag, long.invoke, block.number, reason)
        long.raw += block.piece
        if not block.last:
            self._request, long.number = long, long.number + 1
            if isinstance(long.target, Attribute):
                return SetResponseBlock(long.invoke, block.number).encode()
            return ActionResponseNext(long.invoke, block.number).encode()
        try:
            value = decode_data(bytes(long.raw), limits=self._limits)
        except MalformedDlms:
            reason = AccessResult.TYPE_UNMATCHED
            return self._refused(long.tag, long.invoke, block.number, reason)
        if isinstance(long.target, Attribute):
            result = self._write(long.target, value)
            return SetResponseLastBlock(long.invoke, result, block.number).encode()
        return self._action_answer(long.invoke, self._invoke(long.target, value))

    @staticmethod
    def _refused(tag: int, invoke: int, number: int, reason: AccessResult) -> bytes:
        if tag == SetRequest.tag:
            return SetResponseLastBlock(invoke, reason, number).encode()
        return ActionResponse(invoke, Outcome(ActionResult.LONG_ACTION_ABORTED)).encode()

    # ACTION

    def _invoke(self, method: Method, parameters: Data | NoParameters) -> Outcome:
        try:
            back = self._table.invoke(method, parameters)
        except AccessRefused as refusal:
            return Outcome(refusal.result)
        return Outcome(ActionResult.SUCCESS, None if back is None else Value(back))

    def _action_list(self, request: ActionRequestList) -> bytes:
        if len(request.methods) > MOST_REFERENCES:
            return TOO_LONG.encode()
        if len(request.methods) != len(request.parameters):
            return SERVICE_UNKNOWN.encode()
        # A list cannot leave parameters out: null data stands for none.
        wanted: list[Data | NoParameters] = [
            NO_PARAMETERS if value is None else value for value in request.parameters
        ]
        outcomes = tuple(map(self._invoke, request.methods, wanted))
        response = ActionResponseList(request.invoke, outcomes).encode()
        return response if len(response) <= self._room else TOO_LONG.encode()

    def _action_answer(self, invoke: int, outcome: Outcome) -> bytes:
        response = ActionResponse(invoke, outcome).encode()
        if len(response) <= self._room:
            return response
        return self._send_blocks(ActionResponse.tag, invoke, outcome.encode())

    # ACCESS

    def _access(self, request: AccessRequest) -> bytes:
        if len(request.accesses) > MOST_REFERENCES:
            return TOO_LONG.encode()
        if len(request.accesses) != len(request.data):
            return SERVICE_UNKNOWN.encode()
        values: list[Data] = []
        outcomes: list[AccessOutcome] = []
        size = 0
        for access, given in zip(request.accesses, request.data, strict=True):
            value, result = self._one_access(access, given)
            values.append(value)
            outcomes.append(AccessOutcome(access.kind, result))
            size += len(encode_data(value)) + 2
            if size > self._room:  # this service has no blocks of its own
                return TOO_LONG.encode()
        response = AccessResponse(request.invoke, b"", None, tuple(values), tuple(outcomes))
        encoded = response.encode()
        return encoded if len(encoded) <= self._room else TOO_LONG.encode()

    def _one_access(self, access: Access, given: Data) -> tuple[Data, int]:
        if isinstance(access.target, Method):
            outcome = self._invoke(access.target, NO_PARAMETERS if given is None else given)
            back = outcome.returned
            return back.data if isinstance(back, Value) else None, outcome.result
        if access.kind == SET:
            return None, self._write(access.target, given)
        found = self._read(access.target)
        if isinstance(found, Value):
            return found.data, AccessResult.SUCCESS
        return None, found.result


def _failed(tag: int, invoke: int, reason: AccessResult) -> bytes:
    if tag == GetResponse.tag:
        return GetResponse(invoke, Failure(reason)).encode()
    return ActionResponse(invoke, Outcome(ActionResult.NO_LONG_ACTION_IN_PROGRESS)).encode()
