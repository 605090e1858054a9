# SPDX-License-Identifier: Apache-2.0
"""SML messages as typed values (SML 1.03 and 1.04; BSI TR-03109-1, annex IV b, 2013).

    Message = transaction id, group, abort-on-error, body, checksum

Fields come in the order of the standard, under their English names. An optional field that was left
out is None. Fields that the standard requires, but that meters are seen to leave out, may be None
too: they are typed so.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from sml_codec.crc import Crc
from sml_codec.elements import Element
from sml_codec.numbers import SizedInt
from sml_codec.obis import Obis
from sml_codec.units import unit_symbol

Value: TypeAlias = "bool | bytes | int | tuple[Element, ...] | None"
"""What an SML_Value can be. Decoded integers are `SizedInt`; a tuple is an SML_ListType."""


class TimeChoice(enum.IntEnum):
    """The forms of SML_Time."""

    SECOND_INDEX = 1
    """Seconds that the meter was in operation."""
    TIMESTAMP = 2
    """Seconds since 1970-01-01 00:00 UTC."""
    LOCAL_TIMESTAMP = 3
    """The same, with the offsets of local time and of daylight saving."""


def time_choice(number: int) -> TimeChoice | int:
    """Return the form of SML_Time with this number, or the number of a form that is not known."""
    return TimeChoice(number) if 1 <= number <= 3 else number


@dataclass(frozen=True, slots=True)
class Time:
    """SML_Time. `choice` is None where the meter leaves it out (`Quirk.BARE_TIME`).

    A choice that the standard does not know is kept as its number. The offsets, in minutes, belong
    to a local timestamp and are None otherwise.
    """

    choice: TimeChoice | int | None
    seconds: int
    local_offset: int | None = None
    season_offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """One value of a meter: SML_ListEntry."""

    obis: Obis
    status: int | None = None
    time: Time | None = None
    unit: int | None = None
    scaler: int | None = None
    value: Value = None
    signature: bytes | None = None
    corrected: int | None = field(default=None, compare=False)
    """The number meant, where a known fault of the meter made `value` another; not on the wire."""

    @property
    def scaled(self) -> Decimal | None:
        """The physical reading in `unit`, exactly; None if the value is no number."""
        return scaled(self.value if self.corrected is None else self.corrected, self.scaler)

    @property
    def unit_symbol(self) -> str:
        """The symbol of the unit, such as `Wh`; "" without one."""
        return unit_symbol(self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodEntry:
    """One value of a period: SML_PeriodEntry."""

    obis: Obis
    unit: int | None = None
    scaler: int | None = None
    value: Value = None
    signature: bytes | None = None

    @property
    def scaled(self) -> Decimal | None:
        """The physical reading in `unit`, exactly; None if the value is no number."""
        return scaled(self.value, self.scaler)

    @property
    def unit_symbol(self) -> str:
        """The symbol of the unit, such as `Wh`; "" without one."""
        return unit_symbol(self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A unit, a scaler and a value, as a tupel entry repeats them."""

    unit: int | None = None
    scaler: int | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TupelEntry:
    """SML_TupelEntry: active and reactive energies of both directions, signed together."""

    server_id: bytes
    second_index: Time | None
    status: int | None
    active_plus: Quantity
    reactive_1: Quantity
    reactive_4: Quantity
    signature_plus: bytes | None
    active_minus: Quantity
    reactive_2: Quantity
    reactive_3: Quantity
    signature_minus: bytes | None


@dataclass(frozen=True, slots=True)
class PlainValue:
    """An SML_Value in its place in a parameter tree."""

    value: Value


ProcParValue: TypeAlias = PlainValue | PeriodEntry | TupelEntry | Time | ListEntry
"""SML_ProcParValue: what a node of a parameter tree holds."""


@dataclass(frozen=True, slots=True)
class Tree:
    """SML_Tree: a named node with an optional value and optional children."""

    name: bytes
    value: ProcParValue | None = None
    children: tuple[Tree, ...] | None = None

    def find(self, *path: bytes) -> Tree | None:
        """Return the node below this one that `path` names, or None."""
        node: Tree | None = self
        for name in path:
            if node is None:
                return None
            node = next((child for child in node.children or () if child.name == name), None)
        return node


# Requests and responses


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReq:
    """SML_PublicOpen.Req: the first message of a file of requests."""

    codepage: bytes | None = None
    client_id: bytes
    request_file_id: bytes
    server_id: bytes | None = None
    username: bytes | None = None
    password: bytes | None = field(default=None, repr=False)
    sml_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRes:
    """SML_PublicOpen.Res: the first message of a file of responses."""

    codepage: bytes | None = None
    client_id: bytes | None = None
    request_file_id: bytes
    server_id: bytes
    reference_time: Time | None = None
    sml_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseReq:
    """SML_PublicClose.Req: the last message of a file of requests."""

    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRes:
    """SML_PublicClose.Res: the last message of a file of responses."""

    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginReq:
    """What requests to one server begin with."""

    server_id: bytes | None = None
    username: bytes | None = None
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReq(LoginReq):
    """What both requests for a load profile hold."""

    with_raw_data: bool | None = None
    begin_time: Time | None = None
    end_time: Time | None = None
    tree_path: tuple[bytes, ...]
    objects: tuple[bytes, ...] | None = None
    details: Tree | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProfilePackReq(ProfileReq):
    """SML_GetProfilePack.Req: asks for a load profile as a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileHeader:
    """SML_ProfObjHeaderEntry: one column of a profile table."""

    obis: Obis
    unit: int | None = None
    scaler: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileValue:
    """SML_ValueEntry: one cell of a profile table."""

    value: Value = None
    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePeriod:
    """SML_ProfObjPeriodEntry: one row of a profile table."""

    time: Time | None = None
    status: int | None = None
    values: tuple[ProfileValue, ...]
    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProfilePackRes:
    """SML_GetProfilePack.Res: a load profile as a table."""

    server_id: bytes
    actual_time: Time | None = None
    period_seconds: int | None = None
    tree_path: tuple[bytes, ...]
    headers: tuple[ProfileHeader, ...]
    periods: tuple[ProfilePeriod, ...]
    raw_data: bytes | None = None
    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProfileListReq(ProfileReq):
    """SML_GetProfileList.Req: asks for a load profile, answered by one message for each period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProfileListRes:
    """SML_GetProfileList.Res: the values of one period."""

    server_id: bytes
    actual_time: Time | None = None
    period_seconds: int | None = None
    tree_path: tuple[bytes, ...]
    time: Time | None = None
    status: int | None = None
    entries: tuple[PeriodEntry, ...]
    raw_data: bytes | None = None
    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProcParameterReq(LoginReq):
    """SML_GetProcParameter.Req: asks for a tree of parameters."""

    tree_path: tuple[bytes, ...]
    attribute: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProcParameterRes:
    """SML_GetProcParameter.Res: a tree of parameters."""

    server_id: bytes
    tree_path: tuple[bytes, ...]
    tree: Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProcParameterReq(LoginReq):
    """SML_SetProcParameter.Req: writes a tree of parameters; an attention answers."""

    tree_path: tuple[bytes, ...]
    tree: Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class GetListReq:
    """SML_GetList.Req: asks for a list of values by its name."""

    client_id: bytes
    server_id: bytes | None = None
    username: bytes | None = None
    password: bytes | None = field(default=None, repr=False)
    list_name: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetListRes:
    """SML_GetList.Res: a list of values, which most meters push every second or so."""

    client_id: bytes | None = None
    server_id: bytes
    list_name: bytes | None = None
    sensor_time: Time | None = None
    entries: tuple[ListEntry, ...]
    signature: bytes | None = None
    gateway_time: Time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CosemReq:
    """What GetCosem, SetCosem and ActionCosem requests begin with; `arguments` is the rest."""

    client_id: bytes | None = None
    server_id: bytes | None = None
    username: bytes | None = None
    password: bytes | None = field(default=None, repr=False)
    obis: Obis
    class_id: int
    class_version: int | None = None
    arguments: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CosemRes:
    """What GetCosem, SetCosem and ActionCosem responses begin with; `results` is the rest."""

    client_id: bytes | None = None
    server_id: bytes | None = None
    obis: Obis
    class_id: int
    class_version: int | None = None
    results: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCosemReq(CosemReq):
    """SML_GetCosem.Req: reads attributes of a COSEM object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCosemRes(CosemRes):
    """SML_GetCosem.Res: attributes of a COSEM object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCosemReq(CosemReq):
    """SML_SetCosem.Req: writes attributes of a COSEM object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCosemRes(CosemRes):
    """SML_SetCosem.Res: what became of the attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCosemReq(CosemReq):
    """SML_ActionCosem.Req: calls a method of a COSEM object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCosemRes(CosemRes):
    """SML_ActionCosem.Res: what the method returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRes:
    """SML_Attention.Res: an error, or the confirmation of a command."""

    server_id: bytes
    number: bytes
    text: bytes | None = None
    details: Tree | None = None


@dataclass(frozen=True, slots=True)
class UnknownBody:
    """A body that has no type here, or does not have the shape of its type; kept as it is.

    `reason` says why a body with a known tag was not taken for what the tag says.
    """

    tag: int
    element: Element
    reason: str = field(default="", compare=False)


Body: TypeAlias = (
    OpenReq | OpenRes | CloseReq | CloseRes
    | GetProfilePackReq | GetProfilePackRes | GetProfileListReq | GetProfileListRes
    | GetProcParameterReq | GetProcParameterRes | SetProcParameterReq
    | GetListReq | GetListRes
    | GetCosemReq | GetCosemRes | SetCosemReq | SetCosemRes | ActionCosemReq | ActionCosemRes
    | AttentionRes | UnknownBody
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """SML_Message: one request or response.

    `wire` is the message as it came. Encoding keeps its integer widths and lengths wherever they
    still hold the values, so that a message with one field replaced differs in that field alone;
    empty for a message built by hand, which encodes in the shortest form.
    """

    transaction_id: bytes
    group: int = 0
    abort_on_error: int = 0
    body: Body
    crc: Crc = Crc.X25
    wire: bytes = field(default=b"", compare=False, repr=False)

    @property
    def name(self) -> str:
        """What the standard calls it, such as `GetList.Res`; its tag where that is not known."""
        if isinstance(self.body, UnknownBody):
            return f"0x{self.body.tag:08x}"
        name = type(self.body).__name__
        return f"{name[:-3]}.{name[-3:]}"


def scaled(value: object, scaler: int | None) -> Decimal | None:
    """Return value · 10^scaler exactly, whatever the decimal context; None if it is no number."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    digits = tuple(int(digit) for digit in str(abs(int(value))))
    return Decimal((int(value < 0), digits, scaler or 0))


def value_kind(value: Value) -> tuple[str | None, int | None]:
    """Return what `value` is called (`uint`, `int`, `octets`, `bool`, `list`, None) and its size.

    The size is that of an integer on the wire, in bytes; None for anything else, and for an integer
    that was not decoded.
    """
    if value is None:
        return None, None
    if isinstance(value, bool):
        return "bool", None
    if isinstance(value, SizedInt):
        return ("int" if value.signed else "uint"), value.size
    if isinstance(value, int):
        return ("int" if value < 0 else "uint"), None
    return ("octets" if isinstance(value, bytes) else "list"), None
