# SPDX-License-Identifier: Apache-2.0
"""SET STATUS: the life cycles of the card, its security domains and its applications.

GPCS 2.3.1, 5.1, 5.3 and 11.10. What may follow what on the card:

    OP_READY -> INITIALIZED -> SECURED <-> LOCKED      and from anywhere -> TERMINATED
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hub.card.commands.get_data import require_authenticated, within
from hub.card.entries import (
    LOCKED,
    CardState,
    DomainState,
    Kind,
    LifeCycle,
    Privilege,
    RegistryEntry,
)
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import ResponseApdu

CARD, APPLICATION, HIERARCHY = 0x80, 0x40, 0x60
NEXT: Final[Mapping[CardState, frozenset[CardState]]] = {
    CardState.OP_READY: frozenset({CardState.INITIALIZED, CardState.TERMINATED}),
    CardState.INITIALIZED: frozenset({CardState.SECURED, CardState.TERMINATED}),
    CardState.SECURED: frozenset({CardState.LOCKED, CardState.TERMINATED}),
    CardState.LOCKED: frozenset({CardState.SECURED, CardState.TERMINATED}),
    CardState.TERMINATED: frozenset(),
}


def set_status(card: CardParts, call: CardCall) -> ResponseApdu:
    """Change a life cycle; a locked application comes back to the state it had."""
    require_authenticated(call)
    command = call.command
    match command.p1:
        case 0x80:
            _set_card(card, call)
        case 0x40:
            _set_application(card, call, card.content.application(command.data))
        case 0x60 | 0xC0:
            # C0 is how some clients name the issuer's domain with all that belongs to it.
            target = card.content.application(command.data or card.registry.issuer().aid)
            if not target.is_domain:
                raise CardRefusal(Sw.WRONG_DATA, "P1 60 names a security domain")
            if command.p2 not in {0x00, 0x07, 0x0F} and not command.p2 & LOCKED:
                raise CardRefusal(Sw.WRONG_P1_P2, "P1 60 locks and unlocks")
            changed = 0
            for entry in card.registry.entries():
                belongs = entry.kind is not Kind.PACKAGE and within(card, target, entry)
                spared = entry.kind is Kind.ISSUER_DOMAIN or entry.aid == call.domain.aid
                locks = bool(command.p2 & LOCKED)
                if belongs and not spared and entry.is_locked != locks:
                    _set_application(card, call, entry)
                    changed += 1
            if not changed:
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED,
                    f"nothing there is to be {'locked' if command.p2 & LOCKED else 'unlocked'}",
                )
        case _:
            raise CardRefusal(
                Sw.WRONG_P1_P2, "SET STATUS knows the scopes 80, 40 and 60 (table 11-83)"
            )
    return ResponseApdu(b"", Sw.SUCCESS)


def _set_card(card: CardParts, call: CardCall) -> None:
    try:
        wanted = CardState(call.command.p2)
    except ValueError as error:
        raise CardRefusal(Sw.WRONG_P1_P2, f"the card has no state {call.command.p2:02X}") from error
    issuer = card.registry.issuer()
    now = CardState(issuer.life_cycle)
    if wanted not in NEXT[now]:
        # Also to the state that it is in (11.10.2.2).
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"the card is {now.name} and does not go to {wanted.name} (GPCS 5.1)",
        )
    needed = Privilege.NONE
    if wanted is CardState.TERMINATED:
        needed = Privilege.CARD_TERMINATE
    elif CardState.LOCKED in {now, wanted}:
        needed = Privilege.CARD_LOCK
    elif call.domain.kind is not Kind.ISSUER_DOMAIN:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "only the issuer's domain takes the card on")
    if not call.domain.has(needed):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, f"the domain lacks {needed.name}")
    card.registry.update(replace(issuer, life_cycle=int(wanted)))


def _set_application(card: CardParts, call: CardCall, entry: RegistryEntry) -> None:
    if entry.kind is Kind.ISSUER_DOMAIN:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "the issuer's domain has the card's life cycle"
        )
    state, domain = call.command.p2, call.domain
    may = domain.has(Privilege.GLOBAL_LOCK) or within(card, domain, entry)
    if not may:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the application belongs to another domain")
    if state & LOCKED:
        if entry.aid == domain.aid:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "a security domain does not lock itself")
        if entry.is_locked:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "the application is locked already (11.10.2.2)"
            )
        new = entry.life_cycle | LOCKED
    elif entry.is_locked:
        new = entry.life_cycle & ~LOCKED
    else:
        new = _advance(entry, state)
    card.registry.update(replace(entry, life_cycle=new))


def _advance(entry: RegistryEntry, state: int) -> int:
    """Return the state that an entry which is not locked goes to.

    An application's own states are its own business (11.10.2.2). A domain is personalised by
    whoever holds its keys, its parent's until it has some (5.3.2.3), and never goes back.
    """
    personalises = entry.kind is Kind.DOMAIN and state == DomainState.PERSONALIZED
    if not personalises or entry.life_cycle != LifeCycle.SELECTABLE:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"a security domain takes nobody from {entry.life_cycle:02X} to {state:02X}: it locks"
            " and unlocks, and makes a selectable domain PERSONALIZED (GPCS 5.3, 11.10.2.2)",
        )
    return state
