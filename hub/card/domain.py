# SPDX-License-Identifier: Apache-2.0
"""Commands to a security domain: which there are, and what each demands of the card and the host.

GPCS 2.3.1, table 11-1, as one table.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from protocols.secure_channel.apdu import ResponseApdu

from .channel import Call
from .status import Refusal, Sw

if TYPE_CHECKING:
    from .card import Card

__all__ = ["perform"]

Handler: TypeAlias = Callable[["Card", Call], ResponseApdu]
HANDLERS: Final[Mapping[int, Handler]] = {}


def perform(card: "Card", call: Call) -> ResponseApdu:
    """Carry out one plain command on the security domain that is selected."""
    handler = HANDLERS.get(call.command.ins)
    if handler is None:
        raise Refusal(
            Sw.UNKNOWN_INSTRUCTION, f"a security domain knows no instruction {call.command.ins:02X}"
        )
    return handler(card, call)
