# SPDX-License-Identifier: Apache-2.0
"""What roll-outs have to do with a hub that dials: looked at, brought, put back, given new keys.

Each outcome is kept before the hub is sent anything else. An errand that is cut off leaves its hub
as begun; the next one looks at the card first and goes on from there. A hub whose connection broke
has not failed: it has not answered.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.enrolment import Enrolment
from protocols.iso7816.errors import WireError
from protocols.remote_admin.server import Errand, Waits
from protocols.secure_channel.conversation import Conversation
from utility_server.due_meters import DueMeters
from utility_server.errors import (
    HeadEndError,
    HubContradicts,
    HubRefused,
    StoreError,
    UnknownCustomer,
    UtilityError,
)
from utility_server.fleet.card_state import CardState, PackageVersion
from utility_server.fleet.conversations import FleetConversations
from utility_server.fleet.plans import HubState, Kind
from utility_server.fleet.rollouts import Due, Outcome, Rollouts
from utility_server.hub_conversation import HubConversations
from utility_server.retail.customers import Customers

POLL_SECONDS: Final = 900
PAUSE_SECONDS: Final = 2
CONSENT_SECONDS: Final = 6 * 3600
"""Whether the resident has said yes is looked at so often."""
NOT_ALLOWED_SECONDS: Final = 24 * 3600
FAILED_SECONDS: Final = 300
DEFINITE: Final = frozenset({0x6A80, 0x6982, 0x6985, 0x6A84, 0x6A86, 0x6A88, 0x6D00})
"""Refusals that would be the same again: another signer, an older version, no room, no such."""


@dataclass(slots=True)
class FleetErrands:
    """The roll-outs of one utility, for hubs that dial."""

    rollouts: Rollouts
    customers: Customers
    randomness: Callable[[int], bytes] = field(repr=False)
    poll_seconds: int = POLL_SECONDS
    told: Callable[[Due, Outcome], object] | None = None
    """Told of each outcome once it is kept."""
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    _due: DueMeters = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is read before it is asked for."""
        self._due = DueMeters(self.rollouts.due_meters, self.monotonic)

    def is_fresh(self) -> bool:
        """Whether what is due was read of late."""
        return self._due.is_fresh()

    def refresh(self) -> None:
        """Read it, unless another thread just has."""
        self._due.refresh()

    def is_waiting(self, meter: bytes) -> bool:
        """Whether something is due for a meter."""
        return meter in self._due

    def waits(self, meter: bytes) -> Waits:
        """As usual."""
        return Waits(PAUSE_SECONDS, self.poll_seconds)

    def next(self, meter: bytes) -> Errand | None:
        """Return the next thing to do with a meter's hub."""
        for due in self.rollouts.due(meter):
            if self.rollouts.begin(due):
                return self._settling(due)
        self._due.drop(meter)
        return None

    def _settling(self, due: Due) -> Errand:
        try:
            outcome = yield from self._doing(due)
        except StoreError:
            raise  # not the hub's failure: it stays begun, and is looked at again
        except (UtilityError, WireError, TimeoutError) as error:
            outcome = self._failure(error)
        self.rollouts.settle(due, outcome)
        if self.told is not None:
            self.told(due, outcome)

    def _doing(self, due: Due) -> Conversation[Outcome]:
        rollout, meter = due.rollout, due.hub.meter
        conversations = FleetConversations(self.randomness)
        if rollout.kind is Kind.KEYS or self.customers.has_proposal(meter, rollout.applet):
            # Keys whose answer was lost come first: the hub may open its channel to no others.
            yield from self._replace_keys(meter, rollout.applet)
        enrolment = self.customers.find(meter, rollout.applet)
        if rollout.kind is Kind.KEYS:
            return Outcome(HubState.INSTALLED, f"keys of version {enrolment.key_version:02X}")
        if rollout.kind is Kind.LOOK:
            state = yield from conversations.look(enrolment, rollout.package)
            return Outcome(HubState.INSTALLED, str(state), before=_packed(state.in_place))
        target = PackageVersion(rollout.version, rollout.digest)
        if due.is_back:
            state = yield from conversations.put_back(enrolment, rollout.package, target)
            return self._went_back(due, enrolment, state, target)
        state = yield from conversations.bring(enrolment, self.rollouts.load(rollout))
        return self._came(state, target)

    def _replace_keys(self, meter: bytes, applet: bytes) -> Conversation[None]:
        current, proposed = self.customers.propose(meter, applet)
        yield from HubConversations(self.randomness).replace_keys(current, proposed)
        self.customers.settle(proposed)

    def _came(self, state: CardState, target: PackageVersion) -> Outcome:
        """Return what a hub's own word comes to, after a version was brought."""
        now, said = self.rollouts.now(), str(state)
        before = b"" if state.previous is None else _packed(state.previous)
        if state.in_place == target:
            return Outcome(HubState.INSTALLED, said, before=before)
        before = _packed(state.in_place)
        if state.offered == target:
            later = now + CONSENT_SECONDS
            return Outcome(HubState.WAITING, said, before=before, not_before=later)
        if state.refused == target:
            return Outcome(HubState.REFUSED, said, before=before)
        later = now + NOT_ALLOWED_SECONDS
        return Outcome(HubState.NOT_ALLOWED, said, before=before, not_before=later)

    def _went_back(
        self, due: Due, enrolment: Enrolment, state: CardState, target: PackageVersion
    ) -> Outcome:
        said = str(state)
        if state.in_place == target:  # what was there before asks for more: it waits for a yes
            later = self.rollouts.now() + CONSENT_SECONDS
            return Outcome(HubState.BACK_WAITING, said, not_before=later)
        known = due.before
        if known and known != _packed(state.in_place):
            raise HubContradicts(enrolment.meter, f"another version was there before: {said}")
        return Outcome(HubState.ROLLED_BACK, said)

    def _failure(self, error: Exception) -> Outcome:
        known = error if isinstance(error, UtilityError) else HeadEndError(str(error))
        status = known.status_word if isinstance(known, HubRefused) else 0
        is_final = status in DEFINITE or isinstance(known, HubContradicts | UnknownCustomer)
        return Outcome(
            HubState.FAILED,
            str(known),
            status=status,
            is_final=is_final,
            not_before=self.rollouts.now() + FAILED_SECONDS,
        )


def _packed(version: PackageVersion) -> bytes:
    return bytes(version.version) + version.digest
