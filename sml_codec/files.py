# SPDX-License-Identifier: Apache-2.0
"""What was received: the messages of a file, and the frame they came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sml_codec.errors import SmlError
from sml_codec.frames import Damage, Frame
from sml_codec.messages import (
    GetListRes,
    GetProfileListRes,
    ListEntry,
    Message,
    OpenRes,
    PeriodEntry,
    Time,
)
from sml_codec.obis import Obis, device_id_of


@dataclass(frozen=True, slots=True)
class SmlFile:
    """What an SML file, or what is left of one, contains.

    `messages` have the right checksum, `rejected` a wrong one. `error` says where the file stopped
    being SML; what follows is not looked at. `tail` are the zero bytes behind the last message.
    """

    messages: tuple[Message, ...]
    rejected: tuple[Message, ...] = ()
    error: SmlError | None = None
    tail: bytes = b""


@dataclass(frozen=True, slots=True)
class ScaledValue:
    """A number of a meter, exactly, and the symbol of its unit; "" without one."""

    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Telegram:
    """A frame and what is in it: what a meter sends at a time."""

    frame: Frame | Damage
    file: SmlFile

    @property
    def is_intact(self) -> bool:
        """Whether the frame is intact; otherwise its messages are salvage.

        `sml_codec.is_intact` says the same to type checkers, too.
        """
        return isinstance(self.frame, Frame)

    @property
    def server_id(self) -> bytes | None:
        """Who has sent it, as the first list of values or the opening says; None: nobody says."""
        opening: bytes | None = None
        for message in self.file.messages:
            if isinstance(message.body, GetListRes | GetProfileListRes):
                return message.body.server_id
            if isinstance(message.body, OpenRes) and opening is None:
                opening = message.body.server_id
        return opening

    @property
    def meter_time(self) -> Time | None:
        """The meter's own time of the values: a time of day, or a count of seconds."""
        for message in self.file.messages:
            if isinstance(message.body, GetListRes):
                listed = message.body
                return listed.sensor_time or next((e.time for e in listed.entries if e.time), None)
            if isinstance(message.body, GetProfileListRes):
                return message.body.actual_time
        return None

    @property
    def device_id(self) -> str | None:
        """What is printed on the meter, such as `1 EMH00 1234 5678`; None where it is not known."""
        return device_id_of(self.server_id)

    def values(self) -> dict[Obis, ScaledValue]:
        """Return the values that are numbers, exactly, with their units; the last of each name."""
        found: dict[Obis, ScaledValue] = {}
        for entry in self.entries():
            number = entry.scaled
            if number is not None:
                found[entry.obis] = ScaledValue(number, entry.unit_symbol)
        return found

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with it, each in a few words; nothing where all is as it should be."""
        faults = list(self.frame.reasons) if isinstance(self.frame, Damage) else []
        faults += [f"wrong checksum: {message.name}" for message in self.file.rejected]
        return (*faults, *([] if self.file.error is None else [str(self.file.error)]))

    def entries(self) -> Iterator[ListEntry | PeriodEntry]:
        """Yield the values of its GetList and GetProfileList responses, in order."""
        return entries(self.file)


def entries(file: SmlFile) -> Iterator[ListEntry | PeriodEntry]:
    """Yield the values of the GetList and GetProfileList responses of a file, in order."""
    for message in file.messages:
        if isinstance(message.body, GetListRes | GetProfileListRes):
            yield from message.body.entries
