# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses, made five times faster than by calling them.

A frozen dataclass sets each of its fields through `object.__setattr__`, which costs more than
decoding them. The functions below fill an object that is not locked yet. In plain Python it is one
of a twin class with the same slots, which is then declared to be of the frozen class; in a compiled
build, where locks bind only others, it is a blank object of the class itself. What comes out is the
same: complete, valid and frozen.
"""

# mypy: disable-error-code="misc"
# (that the fields of a frozen dataclass are read-only is the point here)

from __future__ import annotations

import copyreg
from dataclasses import fields, is_dataclass
from typing import Any, Final

from sml_codec import files, frames, messages, obis
from sml_codec.crc import Crc
from sml_codec.errors import SmlError
from sml_codec.files import SmlFile, Telegram
from sml_codec.frames import Damage, Frame
from sml_codec.messages import (
    Body,
    GetListRes,
    GetProfileListRes,
    ListEntry,
    Message,
    OpenRes,
    PeriodEntry,
    Time,
    TimeChoice,
    Value,
)
from sml_codec.obis import Obis

TWINS: Final = not hasattr(Message, "__mypyc_attrs__")
"""Whether this is plain Python."""


def _rebuild(cls: type[Any], values: dict[str, Any]) -> object:
    return cls(**values)


def _reduce(made: Any) -> tuple[Any, ...]:
    """Pickle a dataclass as its class and fields."""
    return _rebuild, (type(made), {field.name: getattr(made, field.name) for field in fields(made)})


if not TWINS:  # the compiler's own way to pickle would set the fields of a frozen object
    for module in (files, frames, messages, obis):
        for cls in vars(module).values():
            if isinstance(cls, type) and is_dataclass(cls):
                copyreg.pickle(cls, _reduce)


def _twin(cls: type[Any]) -> type[Any]:
    """Return a class with the slots of a dataclass, and nothing else."""
    return type(f"_{cls.__name__}", (), {"__slots__": tuple(field.name for field in fields(cls))})


_Message: Final = _twin(Message)
_Time: Final = _twin(Time)
_ListEntry: Final = _twin(ListEntry)
_PeriodEntry: Final = _twin(PeriodEntry)
_OpenRes: Final = _twin(OpenRes)
_GetListRes: Final = _twin(GetListRes)
_GetProfileListRes: Final = _twin(GetProfileListRes)
_Frame: Final = _twin(Frame)
_SmlFile: Final = _twin(SmlFile)
_Telegram: Final = _twin(Telegram)


def message(
    transaction_id: bytes, group: int, abort_on_error: int, body: Body, crc: Crc, wire: bytes
) -> Message:
    made: Message = _Message() if TWINS else Message.__new__(Message)
    made.transaction_id = transaction_id
    made.group = group
    made.abort_on_error = abort_on_error
    made.body = body
    made.crc = crc
    made.wire = wire
    if TWINS:
        made.__class__ = Message
    return made


def time(
    choice: TimeChoice | int | None,
    seconds: int,
    local_offset: int | None,
    season_offset: int | None,
) -> Time:
    made: Time = _Time() if TWINS else Time.__new__(Time)
    made.choice = choice
    made.seconds = seconds
    made.local_offset = local_offset
    made.season_offset = season_offset
    if TWINS:
        made.__class__ = Time
    return made


def list_entry(
    obis: Obis,
    status: int | None,
    time: Time | None,
    unit: int | None,
    scaler: int | None,
    value: Value,
    signature: bytes | None,
) -> ListEntry:
    made: ListEntry = _ListEntry() if TWINS else ListEntry.__new__(ListEntry)
    made.obis = obis
    made.status = status
    made.time = time
    made.unit = unit
    made.scaler = scaler
    made.value = value
    made.signature = signature
    made.corrected = None
    if TWINS:
        made.__class__ = ListEntry
    return made


def period_entry(
    obis: Obis, unit: int | None, scaler: int | None, value: Value, signature: bytes | None
) -> PeriodEntry:
    made: PeriodEntry = _PeriodEntry() if TWINS else PeriodEntry.__new__(PeriodEntry)
    made.obis = obis
    made.unit = unit
    made.scaler = scaler
    made.value = value
    made.signature = signature
    if TWINS:
        made.__class__ = PeriodEntry
    return made


def open_res(
    codepage: bytes | None,
    client_id: bytes | None,
    request_file_id: bytes,
    server_id: bytes,
    reference_time: Time | None,
    sml_version: int | None,
) -> OpenRes:
    made: OpenRes = _OpenRes() if TWINS else OpenRes.__new__(OpenRes)
    made.codepage = codepage
    made.client_id = client_id
    made.request_file_id = request_file_id
    made.server_id = server_id
    made.reference_time = reference_time
    made.sml_version = sml_version
    if TWINS:
        made.__class__ = OpenRes
    return made


def list_res(
    client_id: bytes | None,
    server_id: bytes,
    list_name: bytes | None,
    sensor_time: Time | None,
    entries: tuple[ListEntry, ...],
    signature: bytes | None,
    gateway_time: Time | None,
) -> GetListRes:
    made: GetListRes = _GetListRes() if TWINS else GetListRes.__new__(GetListRes)
    made.client_id = client_id
    made.server_id = server_id
    made.list_name = list_name
    made.sensor_time = sensor_time
    made.entries = entries
    made.signature = signature
    made.gateway_time = gateway_time
    if TWINS:
        made.__class__ = GetListRes
    return made


def profile_list_res(
    server_id: bytes,
    actual_time: Time | None,
    period_seconds: int | None,
    tree_path: tuple[bytes, ...],
    time: Time | None,
    status: int | None,
    entries: tuple[PeriodEntry, ...],
    raw_data: bytes | None,
    signature: bytes | None,
) -> GetProfileListRes:
    made: GetProfileListRes = (
        _GetProfileListRes() if TWINS else GetProfileListRes.__new__(GetProfileListRes)
    )
    made.server_id = server_id
    made.actual_time = actual_time
    made.period_seconds = period_seconds
    made.tree_path = tree_path
    made.time = time
    made.status = status
    made.entries = entries
    made.raw_data = raw_data
    made.signature = signature
    if TWINS:
        made.__class__ = GetProfileListRes
    return made


def frame(offset: int, wire: bytes, payload: bytes, padding: bytes, crc: Crc) -> Frame:
    made: Frame = _Frame() if TWINS else Frame.__new__(Frame)
    made.offset = offset
    made.wire = wire
    made.payload = payload
    made.padding = padding
    made.crc = crc
    if TWINS:
        made.__class__ = Frame
    return made


def sml_file(
    messages: tuple[Message, ...],
    rejected: tuple[Message, ...],
    error: SmlError | None,
    tail: bytes,
) -> SmlFile:
    made: SmlFile = _SmlFile() if TWINS else SmlFile.__new__(SmlFile)
    made.messages = messages
    made.rejected = rejected
    made.error = error
    made.tail = tail
    if TWINS:
        made.__class__ = SmlFile
    return made


def telegram(frame: Frame | Damage, file: SmlFile) -> Telegram:
    made: Telegram = _Telegram() if TWINS else Telegram.__new__(Telegram)
    made.frame = frame
    made.file = file
    if TWINS:
        made.__class__ = Telegram
    return made
