# SPDX-License-Identifier: Apache-2.0
"""Opening secure channels: INITIALIZE UPDATE and EXTERNAL AUTHENTICATE (Amendment D, 7.1).

The security domain of whatever is selected answers; one that has no keys of its own yet lets its
parent's be used (GPCS 2.3.1, 10.2.1). Counters are written in transactions of their own, before
anything is computed with them. On a listening port answers tell nothing, and nothing is written.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from hub.card.commands.issued_keys import require_unblocked
from hub.card.commands.scp11 import authenticate, perform_security_operation
from hub.card.entries import CardState, Kind
from hub.card.keys.keystore import KeySet
from hub.card.logical_channel import Authentication, LogicalChannel
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.keys import BLOCK, StaticKeys
from protocols.secure_channel.scp03 import (
    INS_EXTERNAL_AUTHENTICATE,
    INS_INITIALIZE_UPDATE,
    Option,
    Scp03,
)
from protocols.secure_channel.scp11 import (
    INS_INTERNAL_AUTHENTICATE,
    INS_MUTUAL_AUTHENTICATE,
    INS_PERFORM_SECURITY_OPERATION,
)
from protocols.secure_channel.session import LEVELS, Role

Opening: TypeAlias = Callable[[CardParts, LogicalChannel, CommandApdu], ResponseApdu]
_PROPRIETARY: Final = 0x80


def find(card: CardParts, channel: LogicalChannel, command: CommandApdu) -> Opening | None:
    """Return the handler of a command that opens a secure channel; None for any other.

    Any other command within a handshake ends it (GPCS 2.3.1, 10.2.1).
    """
    begins = not command.is_secured and command.ins == INS_INITIALIZE_UPDATE
    if begins and command.plain_class == _PROPRIETARY:
        return initialize_update
    # On a port SCP03 alone opens a channel: curves are work that a stranger would not pay for, and
    # certificates would tell which keys there are.
    scp11 = not channel.line.is_open_to_strangers
    if scp11 and not command.is_secured and command.plain_class == _PROPRIETARY:
        if command.ins == INS_PERFORM_SECURITY_OPERATION:
            return perform_security_operation
        if command.ins in {INS_MUTUAL_AUTHENTICATE, INS_INTERNAL_AUTHENTICATE} and command.p2:
            return authenticate
    pending = channel.authentication is not None and channel.authentication.is_pending
    if pending and command.is_secured and command.ins == INS_EXTERNAL_AUTHENTICATE:
        return external_authenticate
    if pending:
        channel.forget()
    return None


def key_set_for(card: CardParts, channel: LogicalChannel, version: int) -> KeySet:
    """Return the SCP03 key set that speaks for what is selected; 0 is the default one."""
    entry = None if channel.selected is None else card.registry.find(channel.selected)
    if entry is None or not entry.is_selectable:
        raise CardRefusal(Sw.NOT_SELECTED, "nothing is selected: it is gone or locked")
    for domain in card.registry.ancestry(entry):
        if card.keys.find_set(domain.aid, 0) is None:
            continue
        found = card.keys.find_set(domain.aid, version)
        if found is None:
            break
        return found
    raise CardRefusal(
        Sw.REFERENCE_NOT_FOUND, f"no SCP03 key set {version:02X} in the security domain"
    )


def initialize_update(
    card: CardParts, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Answer a host's challenge; whatever secure channel there was ends."""
    channel.forget()
    unseen = channel.line.is_open_to_strangers
    if not unseen and card.registry.card_state() is CardState.TERMINATED:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the card is TERMINATED")
    profile = card.profile
    if command.p2 > 1:
        raise CardRefusal(Sw.WRONG_P1_P2, "P2 of INITIALIZE UPDATE is 00 (Amendment D, 7.1.1.3)")
    if len(command.data) != profile.option.size:
        raise CardRefusal(
            Sw.WRONG_LENGTH,
            f"the host challenge has {profile.option.size} bytes, not {len(command.data)}",
        )
    if unseen:
        return _challenge_unseen(card, channel, command)
    key_set = key_set_for(card, channel, command.p1)
    if channel.line.blocks:
        require_unblocked(card, key_set)
        if profile.counts_challenges:
            card.keys.count_failure(key_set)
    option, sequence = profile.option, 0
    if not channel.line.counts_challenges:
        option &= ~Option.PSEUDO_RANDOM
    if option & Option.PSEUDO_RANDOM:
        sequence = card.challenges.counter_for(key_set, command.data)
    session = Scp03(Role.CARD, card.keys.static_keys(key_set), command.data)
    data = session.answer(
        diversification=card.diversification(key_set.domain),
        key_version=key_set.version,
        option=option,
        sequence=sequence,
        aid=channel.selected or b"",
        random=b"" if option & Option.PSEUDO_RANDOM else card.random(option.size),
    )
    channel.authentication = Authentication(session, key_set.domain, key_set.version)
    return ResponseApdu(data, Sw.SUCCESS)


def _challenge_unseen(
    card: CardParts, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Answer a stranger's challenge the same way whatever the card holds, and write nothing.

    Where nothing has the name and key version, the keys are random: what they yield looks like
    what unknown keys yield, and EXTERNAL AUTHENTICATE fails as it does with those. The challenge
    is random, too, so that no counter is used up; nor is one told, with which somebody could see
    how often the recipient comes.
    """
    if not command.p1:
        raise CardRefusal(
            Sw.REFERENCE_NOT_FOUND, "on a port the host names its key version: 00 would tell one"
        )
    key_set = _unseen_key_set(card, channel, command.p1)
    # The same work for a name that nobody has; Python's time tells a little all the same.
    issuer = card.keys.find_set(card.registry.issuer().aid, 0)
    known = key_set or issuer
    keys = None if known is None else card.keys.static_keys(known)
    if key_set is None or keys is None:
        keys = StaticKeys(*(card.random(BLOCK) for _ in range(3)))
    option = card.profile.option & ~Option.PSEUDO_RANDOM
    session = Scp03(Role.CARD, keys, command.data)
    data = session.answer(
        diversification=card.profile.diversification,
        key_version=command.p1,
        option=option,
        sequence=0,
        aid=b"",
        random=card.random(option.size),
    )
    domain = b"" if key_set is None else key_set.domain
    channel.authentication = Authentication(session, domain, command.p1)
    return ResponseApdu(data, Sw.SUCCESS)


def _unseen_key_set(card: CardParts, channel: LogicalChannel, version: int) -> KeySet | None:
    """Return the key set that a recipient on a port may open; never one of the issuer's."""
    entry = None if channel.selected is None else card.registry.find(channel.selected)
    for domain in () if entry is None else card.registry.ancestry(entry):
        if domain.kind is Kind.ISSUER_DOMAIN:
            break
        if card.keys.find_set(domain.aid, 0) is not None:
            return card.keys.find_set(domain.aid, version)
    return None


def external_authenticate(
    card: CardParts, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Let the host prove that it knows the keys, and open the session."""
    pending = channel.authentication
    assert pending is not None
    assert isinstance(pending.session, Scp03)
    size = 2 * card.profile.option.size
    if command.p1 not in LEVELS or command.p2:
        channel.forget()
        raise CardRefusal(
            Sw.WRONG_P1_P2, f"no security level {command.p1:02X} (Amendment D, 7.1.2.3)"
        )
    if len(command.data) != size:
        channel.forget()
        raise CardRefusal(Sw.WRONG_LENGTH, f"EXTERNAL AUTHENTICATE carries {size} bytes")
    key_set = card.keys.find_set(pending.domain, pending.version)
    if key_set is None and not channel.line.is_open_to_strangers:
        channel.forget()
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the key set has gone since the challenge")
    counted = channel.line.blocks and key_set is not None
    if counted and key_set is not None:
        require_unblocked(card, key_set)
        if not card.profile.counts_challenges:
            card.keys.count_failure(key_set)
    try:
        pending.session.authenticate(command)
        if key_set is None:  # on a port: for a name that nobody has, or keys that have gone
            raise RemoteChannelError("the host's cryptogram or MAC is wrong: there are no keys")
    except RemoteChannelError as error:
        channel.forget()
        raise CardRefusal(Sw.AUTHENTICATION_FAILED, str(error)) from error
    if counted:
        card.keys.clear_failures(key_set)
    card.challenges.opened(key_set)
    return ResponseApdu(b"", Sw.SUCCESS)
