# SPDX-License-Identifier: Apache-2.0
"""One APDU in words: what was asked, what was answered, and the rule behind a refusal.

Shown are names, lengths and what is public. Data that may hold a secret (keys, what is stored,
parameters of an installation, everything between host and applet) are counted, never printed.
"""

from typing import Final

from hub.card.commands.table import NAMES
from hub.card.connection import Exchange
from hub.card.status import Sw
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedApdu

PUBLIC: Final = frozenset({0xA4, 0xCA, 0xCB, 0xF2, 0xF0, 0xE4, 0x50, 0x70})
"""Instructions whose data hold names and challenges only."""
INSTALL: Final = {
    0x02: "for load", 0x04: "for install", 0x08: "for make selectable",
    0x0C: "for install and make selectable", 0x0E: "combined", 0x10: "for extradition",
    0x20: "for personalization", 0x40: "for registry update",
}  # fmt: skip
STATUS: Final = {
    0x9000: "success", 0x6283: "card is locked", 0x6300: "authentication failed",
    0x6310: "more entries", 0x6400: "the applet failed", 0x6581: "memory failure",
    0x6700: "wrong length", 0x6881: "logical channel not supported",
    0x6882: "secure messaging not supported", 0x6883: "last command of a chain expected",
    0x6982: "security status not satisfied", 0x6983: "blocked",
    0x6985: "conditions of use not satisfied", 0x6999: "nothing selected", 0x6A80: "wrong data",
    0x6A81: "function not supported", 0x6A82: "not found", 0x6A84: "not enough memory",
    0x6A86: "wrong P1 or P2", 0x6A88: "referenced data not found",
    0x6D00: "instruction not supported", 0x6E00: "class not supported",
    0x9300: "busy: the answer is being worked on",
}  # fmt: skip


def describe(exchange: Exchange) -> str:
    """Return the lines that a trace shows for one APDU."""
    try:
        wire = CommandApdu.decode(exchange.raw)
    except MalformedApdu as error:
        asked = f"-> {exchange.raw[:5].hex().upper()}.. ({len(exchange.raw)} bytes): {error}"
    else:
        asked = _command(wire, exchange.plain)
    response = ResponseApdu.decode(exchange.answer)
    answered = f"<- {response.sw:04X} {_status(response.sw)}"
    if response.data:
        answered += f", {len(response.data)} bytes"
    if exchange.reason is not None:
        answered += f"\n   because {exchange.reason}"
    return f"{asked}\n{answered}"


def _command(wire: CommandApdu, plain: CommandApdu | None) -> str:
    shown = plain or wire
    name = NAMES.get(shown.ins, f"instruction {shown.ins:02X}")
    if shown.ins == 0xE6:
        name += f" [{INSTALL.get(shown.p1 & 0x7F, 'unknown')}]"
    line = f"-> {name} {wire.header.hex().upper()}"
    if wire.channel:
        line += f" on channel {wire.channel}"
    if wire.is_secured:
        line += ", protected" if plain is not None and plain is not wire else ", secured"
    if shown.is_chained:
        line += ", a link of a chain"
    if shown.data:
        public = shown.ins in PUBLIC and not (wire.is_secured and plain is None)
        line += f": {shown.data.hex().upper()}" if public else f": {len(shown.data)} bytes"
    return line


def _status(sw: int) -> str:
    if sw >> 8 == Sw.MORE_DATA >> 8:
        return f"{sw & 0xFF or 'more than 255'} more bytes wait"
    return STATUS.get(sw, "status of the applet")
