# SPDX-License-Identifier: Apache-2.0
"""What was received: the messages of a file, and the frame they came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sml_codec.errors import SmlError
from sml_codec.frames import Damage, Frame
from sml_codec.messages import GetListRes, GetProfileListRes, ListEntry, Message, PeriodEntry


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
class Telegram:
    """A frame and what is in it: what a meter sends at a time."""

    frame: Frame | Damage
    file: SmlFile

    @property
    def is_intact(self) -> bool:
        """Whether the frame is intact; otherwise its messages are salvage."""
        return isinstance(self.frame, Frame)

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
