# SPDX-License-Identifier: Apache-2.0
"""Commands to a security domain: which there are, and in which states of the card.

GPCS 2.3.1, table 11-1, as one table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from hub.card.commands.delete import delete
from hub.card.commands.generate_key import generate_key
from hub.card.commands.get_data import get_data, get_status
from hub.card.commands.install_load import install, load
from hub.card.commands.pin import change_reference_data, reset_retry_counter, verify
from hub.card.commands.put_key import put_key
from hub.card.commands.r_mac import begin_r_mac, end_r_mac
from hub.card.commands.rotate_key import rotate_key
from hub.card.commands.set_status import set_status
from hub.card.commands.store_data import store_data
from hub.card.commands.upgrade import manage_upgrade
from hub.card.entries import CardState
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import ResponseApdu

Handler: TypeAlias = Callable[[CardParts, CardCall], ResponseApdu]
LinkedHandler: TypeAlias = Callable[[CardParts, CardCall, bytes], ResponseApdu]
MORE: Final = 0x80
_MAX_LINKED: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class CommandRule:
    """An instruction: its name, what carries it out, and the states that allow it."""

    name: str
    handler: Handler
    when_locked: bool = False
    when_terminated: bool = False


def linked(handler: LinkedHandler) -> Handler:
    """Join the links of a command that bit 8 of P1 chains (GPCS 2.3.1, 11.1.5.1)."""

    def join(card: CardParts, call: CardCall) -> ResponseApdu:
        parts, command = call.channel.parts, call.command
        if command.p1 & MORE and command.p1 != 0xFF:
            parts.append(command.data)
            if sum(map(len, parts)) > _MAX_LINKED:
                parts.clear()
                raise CardRefusal(Sw.NO_MEMORY, f"a chain makes at most {_MAX_LINKED} bytes")
            return ResponseApdu(b"", Sw.SUCCESS)
        data = b"".join((*parts, command.data))
        parts.clear()
        return handler(card, replace(call, command=replace(command, data=data)), data)

    return join


RULES: Final[Mapping[int, CommandRule]] = {
    0xCA: CommandRule("GET DATA", get_data, when_locked=True, when_terminated=True),
    0xCB: CommandRule("GET DATA", get_data, when_locked=True, when_terminated=True),
    0xF2: CommandRule("GET STATUS", get_status, when_locked=True),
    0xF0: CommandRule("SET STATUS", set_status, when_locked=True),
    0xE6: CommandRule("INSTALL", linked(install)),
    0xE8: CommandRule("LOAD", load),
    0xE4: CommandRule("DELETE", linked(delete)),
    0xD8: CommandRule("PUT KEY", linked(put_key)),
    0xF1: CommandRule("GENERATE KEY", generate_key),
    0xF3: CommandRule("ROTATE KEY", rotate_key),
    0xE2: CommandRule("STORE DATA", store_data),
    0x7A: CommandRule("BEGIN R-MAC SESSION", begin_r_mac, when_locked=True),
    0x78: CommandRule("END R-MAC SESSION", end_r_mac, when_locked=True),
    0xEA: CommandRule("MANAGE ELF UPGRADE", manage_upgrade),
    0x20: CommandRule("VERIFY", verify),
    0x24: CommandRule("CHANGE REFERENCE DATA", change_reference_data),
    0x2C: CommandRule("RESET RETRY COUNTER", reset_retry_counter),
}
GET_RESPONSE: Final = 0xC0
COUNTED: Final = frozenset({0x20, 0x24, 0x2C})
"""Instructions that write a counter first, in a transaction of their own."""
NAMES: Final[Mapping[int, str]] = {ins: rule.name for ins, rule in RULES.items()} | {
    0xA4: "SELECT",
    0x70: "MANAGE CHANNEL",
    GET_RESPONSE: "GET RESPONSE",
    0x50: "INITIALIZE UPDATE",
    0x82: "EXTERNAL AUTHENTICATE",
    0x88: "INTERNAL AUTHENTICATE",
    0x2A: "PERFORM SECURITY OPERATION",
}


def perform(card: CardParts, call: CardCall) -> ResponseApdu:
    """Carry out one plain command on the security domain that is selected."""
    command = call.command
    rule = RULES.get(command.ins)
    if command.ins == GET_RESPONSE:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "no answer waits: another command drops what was left"
        )
    if rule is None:
        raise CardRefusal(
            Sw.UNKNOWN_INSTRUCTION, f"a security domain knows no instruction {command.ins:02X}"
        )
    state = card.registry.card_state()
    refused = state is CardState.LOCKED and not rule.when_locked
    if refused or (state is CardState.TERMINATED and not rule.when_terminated):
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, f"no {rule.name} while the card is {state.name} (5.1)"
        )
    if call.channel.parts and command.ins not in {0xE6, 0xE4, 0xD8}:
        call.channel.parts.clear()
    return rule.handler(card, call)
