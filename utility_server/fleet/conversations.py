# SPDX-License-Identifier: Apache-2.0
"""What is said to a hub's card to bring a version of a package, to put one back, or to look.

    look      select the domain -> SCP03 -> how the package is
    bring     look -> announce, load, look          put back   look -> put back or take back, look

Each begins by looking, so it may be cut off anywhere and be held again: what is done already is not
done twice. Until the last block is on the card the version in place answers; that block puts the
new one in its place, or has it offered, all at once.

Errors: HubRefused, ChannelBroken, HubContradicts; `WireError` for what is no answer of a card
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_length, encode_lv
from protocols.secure_channel.conversation import Conversation
from protocols.secure_channel.host import CardDialogue
from utility_server.errors import HubContradicts, HubRefused
from utility_server.fleet.card_state import (
    ABORT,
    CLA,
    PUT_BACK,
    START,
    UPGRADE,
    Awaits,
    CardState,
    PackageVersion,
    read_state,
    state_commands,
)
from utility_server.hub_conversation import HOST_CHALLENGE_SIZE, in_words

INSTALL, LOAD = 0xE6, 0xE8
FOR_LOAD, LAST = 0x02, 0x80
BLOCK_BYTES: Final = 0x7000
"""Of a load file, in one command; its MAC and padding still fit the longest APDU."""
_MEANINGS: Final = {
    0x6581: "the card's memory failed; nothing was changed",
    0x6982: "the channel does not allow it",
    0x6985: "not as the card is: the version is no newer, the resident has refused it, or none is"
    " kept that could be put back",
    0x6A80: "the card does not take the package: of another vendor, recipient, confinement or form",
    0x6A84: "there is no room for it",
    0x6A86: "the card knows no such command",
    0x6A88: "there is no such package",
    0x6D00: "the card knows no such command",
}
BLOCKS_AT_ONCE: Final = 16
"""Commands in one step: some 450 kB."""


@dataclass(frozen=True, slots=True)
class BroughtPackage:
    """A package as it is loaded: what the vendor has signed goes there unread."""

    aid: bytes
    target: PackageVersion
    block: bytes = field(repr=False)
    """The load file data block."""
    block_hash: bytes
    """Its SHA-256, which INSTALL [for load] announces."""


@dataclass(frozen=True, slots=True)
class FleetConversations:
    """What one recipient says to the domains that hold its applets."""

    randomness: Callable[[int], bytes] = field(repr=False)

    def look(self, enrolment: Enrolment, package: bytes) -> Conversation[CardState]:
        """Return how a package is on a card."""
        with in_words():
            return (yield from self._looking(CardDialogue(), enrolment, package))

    def bring(self, enrolment: Enrolment, package: BroughtPackage) -> Conversation[CardState]:
        """Bring a version, unless it is there or offered, refused or not allowed; return how it is.

        Raises `HubContradicts` where a newer version is in place than is brought, or where the card
        says afterwards what cannot be.
        """
        dialogue = CardDialogue()
        with in_words():
            before = yield from self._looking(dialogue, enrolment, package.aid)
            if _is_settled(before, package.target):
                return before
            if before.in_place.version >= package.target.version:
                raise HubContradicts(
                    enrolment.meter,
                    f"{before.in_place} is in place, and {package.target} is brought",
                )
            after = yield from self._load(dialogue, enrolment, package, before)
        if after.in_place not in (before.in_place, package.target):
            raise HubContradicts(enrolment.meter, f"{after.in_place} is in place after the load")
        if not _is_settled(after, package.target):
            raise HubContradicts(
                enrolment.meter, f"it has taken {package.target} and says: {after}"
            )
        return after

    def put_back(
        self, enrolment: Enrolment, package: bytes, target: PackageVersion
    ) -> Conversation[CardState]:
        """Put the version back that `target` has followed, or take it back where it waits.

        Returns how it is then: where what was before asks for more, it waits for the resident.
        """
        dialogue = CardDialogue()
        with in_words():
            before = yield from self._looking(dialogue, enrolment, package)
            if before.in_place == target:
                p1 = PUT_BACK
                if before.previous is not None and before.offered == before.previous:
                    return before  # it waits already
            elif before.offered == target:
                p1 = ABORT
            else:
                return before
            about = Tlv.of(0xA1, [Tlv(0x4F, package)]).encode()
            command = CommandApdu(CLA, UPGRADE, p1, 0, about, le=256)
            done, *told = yield from dialogue.send_all(
                [command, *state_commands(enrolment.security_domain, package)]
            )
            _require(done)
            after = _state(enrolment, package, told)
        if after.in_place == before.in_place == target and after.offered is None:
            raise HubContradicts(enrolment.meter, f"it has put a version back and says: {after}")
        if after.offered == target:
            raise HubContradicts(enrolment.meter, f"it has given a version back and says: {after}")
        return after

    def _looking(
        self, dialogue: CardDialogue, enrolment: Enrolment, package: bytes
    ) -> Conversation[CardState]:
        domain = enrolment.security_domain
        yield from dialogue.select(domain)
        _, told = yield from dialogue.open_scp03_and_send(
            enrolment.keys,
            self.randomness(HOST_CHALLENGE_SIZE),
            state_commands(domain, package),
            key_version=enrolment.key_version,
        )
        return _state(enrolment, package, told)

    def _load(
        self,
        dialogue: CardDialogue,
        enrolment: Enrolment,
        package: BroughtPackage,
        before: CardState,
    ) -> Conversation[CardState]:
        domain = enrolment.security_domain
        beginning = _begin(domain, package)
        if before.awaits is Awaits.LOAD:  # one that was cut off
            beginning.insert(0, CommandApdu(CLA, UPGRADE, ABORT, 0, le=256))
        loads = _loads(package.block)
        for start in range(0, len(loads), BLOCKS_AT_ONCE):
            commands = [*beginning, *loads[start : start + BLOCKS_AT_ONCE]]
            beginning = []
            answers = yield from dialogue.send_all(commands)
            for answer in answers:
                if not answer.is_success:
                    # What was announced is given up; the version in place is as it was.
                    yield from dialogue.send(CommandApdu(CLA, UPGRADE, ABORT, 0, le=256))
                _require(answer)
        told = yield from dialogue.send_all(state_commands(domain, package.aid))
        return _state(enrolment, package.aid, told)


def _is_settled(state: CardState, target: PackageVersion) -> bool:
    """Whether there is nothing to bring, or no use in it."""
    there = target in (state.in_place, state.offered, state.refused)
    return there or not state.is_allowed


def _begin(domain: bytes, package: BroughtPackage) -> list[CommandApdu]:
    about = Tlv.of(0xA1, [Tlv(0x4F, package.aid)]).encode()
    announced = encode_lv(package.aid, domain, package.block_hash, b"", b"")
    return [
        CommandApdu(CLA, UPGRADE, START, 0, about, le=256),
        CommandApdu(CLA, INSTALL, FOR_LOAD, 0, announced, le=256),
    ]


def _loads(block: bytes) -> list[CommandApdu]:
    data = b"\xc4" + encode_length(len(block)) + block
    starts = range(0, len(data), BLOCK_BYTES)
    return [
        CommandApdu(
            CLA,
            LOAD,
            LAST if number == len(starts) - 1 else 0,
            number & 0xFF,
            data[start : start + BLOCK_BYTES],
            le=256,
            extended=True,
        )
        for number, start in enumerate(starts)
    ]


def _state(enrolment: Enrolment, package: bytes, told: list[ResponseApdu]) -> CardState:
    for answer in told:
        _require(answer)
    return read_state(enrolment.security_domain, package, told)


def _require(answer: ResponseApdu) -> None:
    if not answer.is_success:
        raise HubRefused(answer.sw, _MEANINGS.get(answer.sw, "see the hub's log"))
