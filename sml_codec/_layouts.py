# SPDX-License-Identifier: Apache-2.0
"""Layouts: what one message teaches about the next.

A meter sends the same message again and again; only the values change, and between them the bytes
stay the same. A layout remembers those bytes and where the values stand. Whether a message has the
layout is then one comparison under a mask, and its values come out in one `struct` call:

    message    76 05 00f1a2c3 62 00 62 00 72 63 0701 77 01 0b 0a01.. .. 63 c1c2 00
    mask       ff ff 00000000 ff 00 ff 00 ff ff ffff ff ff ff 0000.. .. ff 0000 ff

A layout is learned from a message that the careful decoder took, and holds only for messages that
it would take in the same way: all type-length fields, tags, OBIS codes, units and scalers are among
the bytes compared. What has no layout (booleans, trees, requests) goes the careful way each time.

Objects are immutable, so a list entry whose bytes are those of the message before is that entry.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Mapping
from struct import Struct
from typing import Any, Final

from sml_codec import _make as make
from sml_codec._plans import NoLayout, SmlPlan
from sml_codec._schema import BODIES, TAGS
from sml_codec.crc import REFLECTED, Crc
from sml_codec.messages import (
    Body,
    CloseRes,
    GetListRes,
    GetProfileListRes,
    ListEntry,
    Message,
    OpenRes,
    PeriodEntry,
)
from sml_codec.options import Quirk
from sml_codec.quirks import corrected_list, may_be_faulty

LONGEST: Final = 4096
"""Messages longer than this, in bytes, are not learned."""

_new_int: Final = int.__new__
_from_bytes: Final = int.from_bytes


class SmlLayout:
    """The form of one message, and how to read another of the same form."""

    def __init__(self, plan: SmlPlan, message: Message) -> None:
        """Take over what a plan found out about a message."""
        self.plan = plan
        self.length = len(plan.wire)
        self.mask = int.from_bytes(plan.mask, "big")
        self.skeleton = int.from_bytes(plan.wire, "big") & self.mask
        self.unpack = Struct(plan.format).unpack_from
        self.constants = plan.constants
        self.joins = plan.joins
        self.times = plan.times
        self.head = plan.head
        self.crc = message.crc
        self.is_x25 = message.crc is Crc.X25
        self.before: list[Any] = []
        self.follower: SmlLayout | None = None

    def decode(self, data: bytes, reflected: bytes, start: int) -> Message | None:
        """Return the message at `start`; None unless it has this layout and the right checksum."""
        end = start + self.length
        wire = data[start:end]
        if _from_bytes(wire, "big") & self.mask != self.skeleton:
            return None
        if self.is_x25:
            checksum = reflected[end - 3] << 8 | reflected[end - 2]
            if crc_hqx(reflected[start : end - 4], 0xFFFF) ^ 0xFFFF != checksum:
                return None
        elif self.crc.of(wire[:-4]) != int.from_bytes(wire[-3:-1], "big"):
            return None
        values = [*self.unpack(wire), *self.constants]
        for slot, bits, part in self.joins:
            values[slot] = values[slot] << bits | values[part]
        before = self.before
        for time in self.times:
            if before and values[time.seconds] == before[time.seconds]:
                values[time.slot] = before[time.slot]
            else:
                values[time.slot] = make.time(
                    time.choice, values[time.seconds], time.local_offset, time.season_offset
                )
        self.before = values
        body = self.body(values, before)
        transaction, group, abort = self.head
        return make.message(values[transaction], values[group], values[abort], body, self.crc, wire)

    def body(self, values: list[Any], before: list[Any]) -> Body:
        """Return the body made of these values; `before` are those of the message before."""
        raise NotImplementedError


class _OpenLayout(SmlLayout):
    """Of an open response."""

    def body(self, values: list[Any], before: list[Any]) -> Body:
        a, b, c, d, e, f = self.plan.fields
        return make.open_res(values[a], values[b], values[c], values[d], values[e], values[f])


class _CloseLayout(SmlLayout):
    """Of a close response without signature: always the same."""

    def __init__(self, plan: SmlPlan, message: Message) -> None:
        super().__init__(plan, message)
        if plan.fields != [plan.none]:
            raise NoLayout
        self.closing = message.body

    def body(self, values: list[Any], before: list[Any]) -> Body:
        return self.closing


class _ListLayout(SmlLayout):
    """Of a GetList response."""

    def __init__(self, plan: SmlPlan, message: Message) -> None:
        super().__init__(plan, message)
        assert isinstance(message.body, GetListRes)
        self.entries = plan.entries
        self.same: list[ListEntry] = []
        self.correct = Quirk.DZG_SIGN in plan.quirks and may_be_faulty(message.body)

    def body(self, values: list[Any], before: list[Any]) -> Body:
        same = self.same
        entries = same.copy()
        for plan in self.entries:
            value = values[plan.value]
            if (
                same
                and value == before[plan.value]
                and values[plan.status] == before[plan.status]
                and values[plan.seconds] == before[plan.seconds]
            ):
                continue
            if plan.kind is not None:
                value = _new_int(plan.kind, value)
            entry = make.list_entry(
                plan.obis,
                values[plan.status],
                values[plan.time],
                plan.unit,
                plan.scaler,
                value,
                None,
            )
            if same:
                entries[plan.index] = entry
            else:
                entries.append(entry)
        self.same = entries
        a, b, c, d, _, f, g = self.plan.fields
        body = make.list_res(
            values[a], values[b], values[c], values[d], tuple(entries), values[f], values[g]
        )
        return corrected_list(body) if self.correct else body


class _ProfileLayout(SmlLayout):
    """Of a GetProfileList response."""

    def __init__(self, plan: SmlPlan, message: Message) -> None:
        super().__init__(plan, message)
        self.entries = plan.entries
        self.same: list[PeriodEntry] = []

    def body(self, values: list[Any], before: list[Any]) -> Body:
        same = self.same
        entries = same.copy()
        for plan in self.entries:
            value = values[plan.value]
            if same and value == before[plan.value]:
                continue
            if plan.kind is not None:
                value = _new_int(plan.kind, value)
            entry = make.period_entry(plan.obis, plan.unit, plan.scaler, value, None)
            if same:
                entries[plan.index] = entry
            else:
                entries.append(entry)
        self.same = entries
        a, b, c, d, e, f, _, h, i = self.plan.fields
        return make.profile_list_res(
            values[a],
            values[b],
            values[c],
            values[d],
            values[e],
            values[f],
            tuple(entries),
            values[h],
            values[i],
        )


_LAYOUTS: Final[Mapping[type[Any], type[SmlLayout]]] = {
    OpenRes: _OpenLayout,
    CloseRes: _CloseLayout,
    GetListRes: _ListLayout,
    GetProfileListRes: _ProfileLayout,
}


def learn(wire: bytes, message: Message, quirks: Quirk) -> SmlLayout | None:
    """Return the layout of a message that the careful decoder made of `wire`, if it has one."""
    kind = _LAYOUTS.get(type(message.body))
    if kind is None or len(wire) > LONGEST:
        return None
    try:
        layout = kind(SmlPlan(wire, BODIES[TAGS[type(message.body)]], quirks), message)
    except NoLayout:
        return None
    again = layout.decode(wire, wire.translate(REFLECTED), 0)
    return layout if again == message else None
