# SPDX-License-Identifier: Apache-2.0
"""Where an applet's questions are answered: the same order for every kind of question.

    1  refused before?      refused again, unless what it depends on has changed
    2  possible at all?     what exceeds the ceilings is refused (TOO_MUCH)
    3  consent?             needs no algebra: before a day is opened or a weight spread out
    4  charged              describing and checking, to the call, before they are done
    5  told before?         the same answer again, which counts once
    6  the release guard    with everything that is on record
    7  proved               charged to the call, or in the background where it is long (`jobs`)
    8  on record            before the applet hears of it

A service says what it is about in a `StatementCase` and gets values and proof; how they are made,
and what they cost, is its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, Self

from hub.applet_host.answers import ToldAnswers, question_of
from hub.applet_host.command import CommandStack
from hub.applet_host.cost import FOUND_FUEL, WorkCost
from hub.applet_host.jobs import ProofJobs
from hub.applet_host.prover import Told, outcome_of, work_off
from hub.disclosure import Disclosure, ReleaseRefused, ReleaseRequest
from hub.machine.manifest import Manifest
from hub.machine.meter import WorkMeter
from hub.vault.database import Database
from protocols.platform.errors import Refusal, Refused

Part = bytes | str | int
_NOT_WORTH_KEEPING: Final = 1 << 20
"""Bytes: a longer outcome is proved anew."""


class DeskHub(Protocol):
    """The parts of the hub that a desk works with."""

    database: Database
    disclosure: Disclosure

    @property
    def randomness(self) -> Callable[[int], bytes]:
        """Returns so many random bytes."""


@dataclass(frozen=True, slots=True)
class StatementCase:
    """A question, as the desk sees it."""

    question: bytes
    """As `StatementDesk.accept` returned it."""
    cost: WorkCost
    outline: ReleaseRequest
    """The request, without weights in its forms."""
    request: Callable[[], ReleaseRequest]
    """Returns all of it."""
    task: Callable[[], bytes]
    """Returns what `hub.applet_host.prover` works off."""


@dataclass(frozen=True, slots=True)
class StatementDesk:
    """One applet's."""

    applet: bytes
    package: bytes
    """The digest of the bundle it was installed from."""
    fuel_per_minute: int
    disclosure: Disclosure
    stack: CommandStack
    meter: WorkMeter
    jobs: ProofJobs
    answers: ToldAnswers = field(repr=False)

    @classmethod
    def of(
        cls, hub: "DeskHub", manifest: Manifest, package: bytes, stack: CommandStack,
        meter: WorkMeter, jobs: ProofJobs, applet: bytes = b"",
    ) -> Self:  # fmt: skip
        """Return the desk of an applet with this manifest, from a package of that digest.

        `applet` is the instance's AID where it is not the manifest's.
        """
        applet = applet or manifest.aid
        answers = ToldAnswers(hub.database, applet)
        per_minute = manifest.limits.fuel_per_minute
        return cls(applet, package, per_minute, hub.disclosure, stack, meter, jobs, answers)

    def accept(self, *parts: Part) -> bytes:
        """Return the digest of all that is asked; raise `Refused` where it was refused before."""
        self.meter.charge(FOUND_FUEL)
        question = question_of(self.package, self.applet, *parts)
        known = self.disclosure.refused_before.find(question)
        if known is not None:
            refused, facts = known
            self.disclosure.refusals.note(facts, refused)
            raise self.stack.refuse(facts, refused)
        return question

    def require_possible(self, case: StatementCase) -> None:
        """Return if the question may be worked on, which is then charged; raise `Refused`."""
        case.cost.require_possible(self.fuel_per_minute)
        self._decided(case, self.disclosure.require_consent, case.outline)
        self.meter.charge(case.cost.describe + case.cost.check)

    def answer(self, case: StatementCase) -> Told:
        """Return values and proof, on record; raise `Refused`, or `WorkInProgress`."""
        told = self.answers.find(case.question)
        if told is not None:
            # It is on record already; and a command that was told something has one error alone.
            self.stack.record.permitted.append(_nothing)
            return _told(told)
        request = case.request()
        if self._is_long(case):
            outcome = self._in_background(case, request)
            self._permit(case, request)
            self.jobs.forget(case.question)
        else:
            self.meter.charge(case.cost.prove)
            self._permit(case, request)
            outcome = work_off(case.task())
        if len(outcome) <= _NOT_WORTH_KEEPING:
            self.answers.keep(case.question, outcome)
            # However the command ends, the release stays on record: so the answer is kept, too.
            on_record = self.stack.record.permitted.pop()
            again = partial(self._record_again, on_record, case.question, outcome)
            self.stack.record.permitted.append(again)
        return _told(outcome)

    def _record_again(
        self, on_record: Callable[[], object], question: bytes, outcome: bytes
    ) -> None:
        on_record()
        self.answers.keep(question, outcome)

    def _is_long(self, case: StatementCase) -> bool:
        """Tell whether a proof is made in the background: by itself, or after all else it is."""
        left = self.meter.left
        short_of = left is not None and left < case.cost.prove
        return case.cost.is_long or short_of or self.jobs.has(case.question)

    def _in_background(self, case: StatementCase, request: ReleaseRequest) -> bytes:
        if not self.jobs.is_under_way(case.question):
            self._decided(case, self.disclosure.require, request)  # no work for what is refused
        return self.jobs.outcome(
            self.applet, case.question, case.cost.prove, self.fuel_per_minute, case.task
        )

    def _permit(self, case: StatementCase, request: ReleaseRequest) -> None:
        self._decided(case, self.disclosure.permit, request)
        self.stack.record.permitted.append(partial(self.disclosure.record_release, request))

    def _decided(
        self,
        case: StatementCase,
        decide: Callable[[ReleaseRequest], object],
        request: ReleaseRequest,
    ) -> None:
        try:
            decide(request)
        except ReleaseRefused as refused:
            raise self.refused(case, request, refused) from None

    def refused(
        self, case: StatementCase, request: ReleaseRequest, refused: ReleaseRefused
    ) -> Refused:
        """Return what an applet is told of a refusal, which is on record."""
        facts = self.disclosure.facts_of(request)
        self.disclosure.refused_before.keep(case.question, refused, facts)
        return self.stack.refuse(facts, refused)


def _nothing() -> None:
    """Put nothing on record."""


def _told(outcome: bytes) -> Told:
    told = outcome_of(outcome) if outcome else None
    if told is None:
        raise Refused(Refusal.TOO_MUCH)
    return told
