# SPDX-License-Identifier: Apache-2.0
"""Homes that spoil a sum: one that vanishes in the middle of a round, one that lies.

The liar's certifier signs the truth, since it is sealed; what is encrypted is something else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from applets.aggregation.messages import Instruction
from hub.card.connection import CardConnection
from hub.card.line import Line
from hub.card.open import Card
from hub.certifier import Certification, Certifier
from hub.device import Device
from protocols.aggregation.loads import CertifiedLoad
from protocols.aggregation.round import Round
from protocols.iso7816.apdu import CommandApdu

SHIFT: Final = 512
"""The bit of its first slot's watt-hours that the liar turns over."""


class _LyingCertifier(Certifier):
    """Signs what was used, hands out something else to encrypt."""

    __slots__ = ()

    def certify_load(
        self, announced: Round, certifications: Sequence[Certification]
    ) -> tuple[list[int], CertifiedLoad]:
        """Return the signed load, and limbs that it does not commit to."""
        limbs, load = Certifier.certify_load(self, announced, certifications)
        return [limbs[0] ^ SHIFT, *limbs[1:]], load


@dataclass(frozen=True, slots=True)
class SpoiledConnection:
    """A conversation with a card in which somebody stands between."""

    honest: CardConnection
    exchange: Callable[[CardConnection, bytes], bytes]

    def transmit(self, apdu: bytes) -> bytes:
        """Carry an APDU there and the answer back, or do what `exchange` does instead."""
        return self.exchange(self.honest, apdu)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)


@dataclass(frozen=True, slots=True)
class SpoiledCard:
    """A card at the end of such a line."""

    honest: Card
    exchange: Callable[[CardConnection, bytes], bytes]

    def connect(self, line: Line) -> SpoiledConnection:
        """Begin a conversation."""
        return SpoiledConnection(self.honest.connect(line), self.exchange)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)


def vanishing(card: Card) -> Card:
    """Return a card that hangs up on whoever asks for a contribution."""
    return cast("Card", SpoiledCard(card, _hang_up))


def _hang_up(connection: CardConnection, apdu: bytes) -> bytes:
    if CommandApdu.decode(apdu).ins == Instruction.CONTRIBUTE:
        raise ConnectionError("the home has dropped out")
    return connection.transmit(apdu)


def make_liar(device: Device) -> None:
    """Let a device encrypt something else than its certifier signs."""
    certifier = device.main.certifier
    liar = _LyingCertifier(certifier.series, certifier.keys)
    device.registers = {device.description.register: replace(device.main, certifier=liar)}
