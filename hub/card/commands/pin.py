# SPDX-License-Identifier: Apache-2.0
"""The global PIN: the one cardholder verification method of the card (GPCS 2.3.1, 8.3).

    VERIFY                00 20 00 00 [PIN]     anyone in the house: over a network somebody else
                                                could use up the resident's tries; without data it
                                                tells the tries left (63Cx)
    CHANGE REFERENCE DATA 80 24 01 00 PIN       a host that has authenticated to a domain with the
    RESET RETRY COUNTER   80 2C 03 00           CVM management privilege

A try is counted on the disk before the PIN is looked at. That a PIN was right holds for the
connection, on all its channels, until reset; applets learn it from their context.
"""

import hmac
from typing import Final

from hub.card.commands.get_data import require_authenticated
from hub.card.entries import Privilege
from hub.card.logical_channel import CardCall
from hub.card.registry import Registry
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import ResponseApdu

TRIES: Final = 3
MIN_SIZE, MAX_SIZE = 4, 16
GLOBAL_PIN: Final = "global PIN"
_LEFT: Final = "global PIN tries"
_TRIES_LEFT: Final = 0x63C0


def verify(card: CardParts, call: CardCall) -> ResponseApdu:
    """Compare a PIN, or tell how many tries are left."""
    command = call.command
    if not call.channel.line.is_in_the_house:
        raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, "the PIN is shown at the local reader")
    if command.p1 or command.p2:
        raise CardRefusal(Sw.WRONG_P1_P2, "VERIFY knows the global PIN only, P2 00")
    sealed = card.registry.find_property(GLOBAL_PIN)
    if sealed is None:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, "no global PIN has been set")
    left = _tries_left(card)
    if not command.data:
        if call.conversation.holder_verified:
            return ResponseApdu(b"", Sw.SUCCESS)
        return ResponseApdu(b"", _TRIES_LEFT | left)
    call.conversation.holder_verified = False
    if not left:
        raise CardRefusal(Sw.BLOCKED, "the global PIN is blocked")
    _set_tries(card, left - 1)
    (pin,) = card.keys.open_secret(GLOBAL_PIN, sealed)
    if not hmac.compare_digest(pin.ljust(MAX_SIZE, b"\xff"), command.data.ljust(MAX_SIZE, b"\xff")):
        raise CardRefusal(_TRIES_LEFT | left - 1, "the PIN is wrong")
    _set_tries(card, TRIES)
    call.conversation.holder_verified = True
    return ResponseApdu(b"", Sw.SUCCESS)


def change_reference_data(card: CardParts, call: CardCall) -> ResponseApdu:
    """Set the PIN; its tries begin anew."""
    _require_manager(call)
    command = call.command
    if (command.p1, command.p2) != (1, 0):
        raise CardRefusal(Sw.WRONG_P1_P2, "CHANGE REFERENCE DATA sets a new global PIN: 01 00")
    if not MIN_SIZE <= len(command.data) <= MAX_SIZE:
        raise CardRefusal(Sw.WRONG_LENGTH, f"a PIN has {MIN_SIZE} to {MAX_SIZE} bytes")
    with card.database.transaction():
        card.registry.set_property(GLOBAL_PIN, card.keys.seal_secret(GLOBAL_PIN, [command.data]))
        _set_tries(card, TRIES)
    call.conversation.holder_verified = False
    return ResponseApdu(b"", Sw.SUCCESS)


def reset_retry_counter(card: CardParts, call: CardCall) -> ResponseApdu:
    """Unblock the PIN."""
    _require_manager(call)
    command = call.command
    if (command.p1, command.p2) != (3, 0) or command.data:
        raise CardRefusal(Sw.WRONG_P1_P2, "RESET RETRY COUNTER takes 03 00 and no data")
    if card.registry.find_property(GLOBAL_PIN) is None:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, "no global PIN has been set")
    _set_tries(card, TRIES)
    call.conversation.holder_verified = False
    return ResponseApdu(b"", Sw.SUCCESS)


def give_all_tries(registry: Registry) -> bool:
    """Give a PIN that is set all its tries again; return whether it had lost some."""
    left = registry.find_property(_LEFT)
    if left is None or left == bytes((TRIES,)):
        return False
    registry.set_property(_LEFT, bytes((TRIES,)))
    return True


def _require_manager(call: CardCall) -> None:
    require_authenticated(call)
    if not call.domain.has(Privilege.CVM_MANAGEMENT):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the domain does not manage the CVM (8.3.3)")


def _tries_left(card: CardParts) -> int:
    return (card.registry.find_property(_LEFT) or bytes((TRIES,)))[0]


def _set_tries(card: CardParts, tries: int) -> None:
    with card.database.transaction():
        card.registry.set_property(_LEFT, bytes((tries,)))
