# SPDX-License-Identifier: Apache-2.0
"""The steps of a round as commands to the hubs' aggregation applet.

The concentrator understands no more of them than where they go: the applet's messages protect
themselves, so commands and answers travel as plain APDUs.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

import cbor2

from protocols.aggregation import Contributors
from protocols.secure_channel import CommandApdu

__all__ = ["APPLET", "Question", "Step"]

APPLET: Final = bytes.fromhex("F04D544C010201")
CLA: Final = 0x80


class Step(Enum):
    """What a hub is asked."""

    KEYS = "tell keys"
    CONTRIBUTE = "contribute"
    AGREE = "agree"
    OPEN = "open"
    POINTS = "tell points of pairs"
    PAIR_KEY = "tell a pair's key"


INSTRUCTIONS: Final = {step: 0x20 + number for number, step in enumerate(Step)}


@dataclass(frozen=True, slots=True)
class Question:
    """A step, and what it is about."""

    step: Step
    parts: tuple[bytes, ...]

    @classmethod
    def keys(cls, nonce: bytes) -> Self:
        """Ask for the keys of the round of this nonce."""
        return cls(Step.KEYS, (nonce,))

    @classmethod
    def contribution(cls, announcement: bytes) -> Self:
        """Ask for a contribution to a round."""
        return cls(Step.CONTRIBUTE, (announcement,))

    @classmethod
    def agreement(cls, contributors: Contributors) -> Self:
        """Ask for the agreement to open the sum over these."""
        return cls(Step.AGREE, (contributors.encode(),))

    @classmethod
    def opening(cls, contributors: Contributors, agreements: tuple[bytes, ...]) -> Self:
        """Ask for an opening, given everybody's agreement."""
        return cls(Step.OPEN, (contributors.encode(), b"".join(agreements)))

    @classmethod
    def points(cls, contributors: Contributors) -> Self:
        """Ask for the commitments to the masks of pairs."""
        return cls(Step.POINTS, (contributors.encode(),))

    @classmethod
    def pair_key(cls, contributors: Contributors, theirs: bytes) -> Self:
        """Ask for the key of the pair whose other end has signed these points."""
        return cls(Step.PAIR_KEY, (contributors.encode(), theirs))

    def command(self, meter: bytes) -> CommandApdu:
        """Return the command to the hub of a meter."""
        data = cbor2.dumps([meter, *self.parts], canonical=True)
        return CommandApdu(CLA, INSTRUCTIONS[self.step], 0, 0, data, le=65_536, extended=True)

    def answer(self, data: bytes) -> bytes:
        """Return the protocol's message in a hub's answer."""
        return data
