# SPDX-License-Identifier: Apache-2.0
"""The checks of every answer about certified days, each with the name it refuses under.

`message` (form, and that it answers this question), the document's name (is it the one that was
asked with), `days` (form), `signature`, `chain` (each day of the period once, in order, of this
meter), `custody` (no other one begins within the period), `memory` (the carried state that numbers
go on from), `proof` (amounts against commitments).

What a proof comes to in the end is an equation. It is handed out as a `Check`, so that those of
many answers are checked at once (`protocols.proofs.batch`). Until it holds, nothing of the answer
does.

Errors: AnswerRefused
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.common.questions import About, MessageRefused
from protocols.amounts import Amount, NumberAmount
from protocols.carried import CarriedState
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    DayRefused,
    MalformedDay,
    Period,
    Series,
    require_one_custody,
    require_same_changes,
    verify_days,
)
from protocols.metrology.unattributed import unattributed_check
from protocols.proofs import (
    Check,
    Malformed,
    NumbersContext,
    ProofRefused,
    Source,
    StatementContext,
    amounts_check,
    needs_slots,
    numbers_check,
    numbers_check_on,
    registers_by_slots,
)
from protocols.proofs.batch import verify_all
from protocols.proofs.carrying import carried_quantities, state_after
from protocols.proofs.linear import linear_check


class AnyAnswer(Protocol):
    """What every answer says."""

    @property
    def about(self) -> About:
        """What it is about, and which question it belongs to."""
        ...


AnswerT = TypeVar("AnswerT", bound=AnyAnswer)


class AnswerRefused(Exception):
    """An answer is not the right one to its question."""

    def __init__(self, check: str, reason: str, difference: Decimal | None = None) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason
        self.difference = difference
        """How much the answer asks beyond what is proved, where that is known."""


def check_message(decode: Callable[[bytes], AnswerT], data: bytes, about: About) -> AnswerT:
    """Return the answer in `data` if it is about what was asked; raise `AnswerRefused`."""
    try:
        answer = decode(data)
    except MessageRefused as error:
        raise AnswerRefused("message", str(error)) from None
    if answer.about.nonce != about.nonce:
        raise AnswerRefused("message", "the answer belongs to another question")
    if answer.about != about:
        raise AnswerRefused("message", "the answer is about another meter or period")
    return answer


def check_days(
    encoded: Iterable[bytes],
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    *,
    is_stored: bool = False,
) -> CertifiedPeriod:
    """Return the certified days of a period, verified; raise `AnswerRefused`.

    `is_stored` takes days of version 1 as well, all of them: no new question is answered over one.
    """
    days = []
    for place, data in enumerate(encoded, start=1):
        try:
            days.append(CertifiedDay.decode(data))
        except MalformedDay as error:
            raise AnswerRefused("days", f"day {place} of the answer: {error}") from None
    try:
        certified = verify_days(days, period, series, certifier)
        if certified.version == 1 and not is_stored:
            reason = "certified in version 1, which answers no new question: update the hub"
            raise AnswerRefused("days", f"{days[0].day}: {reason}")
    except DayRefused as error:
        check = "signature" if "signature" in str(error) else "chain"
        raise AnswerRefused(check, str(error)) from None
    try:
        require_one_custody(certified.days)
    except DayRefused as error:
        raise AnswerRefused("custody", str(error)) from None
    return certified


def check_registers(certified: Iterable[CertifiedPeriod]) -> None:
    """Return if the registers' days are of the same meters; raise `AnswerRefused` if not."""
    try:
        require_same_changes([one.days for one in certified])
    except DayRefused as error:
        raise AnswerRefused("chain", str(error)) from None


def require_proved(checks: Sequence[Check]) -> None:
    """Return if what remained to be checked of one answer holds; raise `AnswerRefused` if not."""
    try:
        verify_all(checks)
    except ProofRefused as error:
        raise AnswerRefused("proof", str(error)) from None


def starts_of(certified: CertifiedPeriod) -> list[int]:
    """Return when the slots of certified days start."""
    return [time for grid in certified.grids for time in grid.boundaries()[:-1]]


@dataclass(frozen=True, slots=True)
class ProofContext:
    """What the proofs of an answer are bound to.

    Each method returns what is proved together with what remains to be checked of it.
    """

    about: About
    digest: bytes
    """Of the document that was asked with."""
    recipient: str
    purpose: str
    mark: bytes = b""
    """What follows the nonce: something that the question says beside."""

    def amounts(
        self,
        series: Series,
        certified: CertifiedPeriod,
        amounts: Sequence[Amount],
        proof: bytes,
        name: str,
        *,
        is_stored: bool = False,
    ) -> tuple[tuple[int, ...], Check]:
        """Return what the amounts of a stored answer come to; raise `AnswerRefused` if it is wrong.

        `is_stored` takes a proof that version 0.1 left unbound to its nonce as well.
        """
        with self._refusals():
            source = certified.source(needs_slots=needs_slots(amounts))
            unbound = is_stored and certified.version == 1
            return amounts_check(
                self._context(series), source, amounts, proof, name, accept_unbound=unbound
            )

    def numbers(
        self,
        certified: Mapping[Series, CertifiedPeriod],
        numbers: Sequence[NumberAmount],
        proof: bytes,
        name: str,
    ) -> tuple[tuple[int, ...], Check]:
        """Return what the numbers come to, of these registers' days in this order.

        Raises `AnswerRefused` where that cannot be proved so.
        """
        with self._refusals():
            context, sources = self._numbers(certified), _sources(certified, numbers)
            return numbers_check(context, sources, numbers, proof, name)

    def numbers_on(
        self,
        certified: Mapping[Series, CertifiedPeriod],
        numbers: Sequence[NumberAmount],
        proof: bytes,
        name: str,
        state: CarriedState,
    ) -> tuple[tuple[int, ...], CarriedState, Check]:
        """Return as `numbers`, of those that go on from a state, with the state that they leave."""
        with self._refusals("memory"):
            carried = carried_quantities(state, numbers)
        with self._refusals():
            context = self._numbers(certified, state.digest)
            sources = _sources(certified, numbers)
            stated, check = numbers_check_on(context, sources, numbers, proof, name, carried)
            after = state_after(state, self.about.end, numbers, stated.kept)
        return stated.values, after, check

    def unattributed(
        self, series: Series, certified: CertifiedPeriod, limit_wh: int, proof: bytes
    ) -> tuple[int | None, Check]:
        """Return the unattributed energy that is opened, None where it is shown to be within.

        Raises `AnswerRefused` where neither is shown.
        """
        with self._refusals():
            return unattributed_check(self._context(series), certified, limit_wh, proof)

    def sum_version_1(
        self, series: Series, certified: CertifiedPeriod, weights: Sequence[int], proof: bytes
    ) -> tuple[int, Check]:
        """Return the one sum that an answer of version 0.1 proves; raise `AnswerRefused`.

        A package of 0.1 answers so on a hub of today, over days of today.
        """
        with self._refusals():
            source = certified.source(needs_slots=True)
            return linear_check(self._context(series), source, weights, proof)

    def _numbers(
        self, certified: Mapping[Series, CertifiedPeriod], state: bytes = b""
    ) -> NumbersContext:
        series = next(iter(certified))
        return NumbersContext(
            meter=series.meter,
            registers=tuple(one.register for one in certified),
            begin=self.about.begin,
            end=self.about.end,
            slot_minutes=series.slot_minutes,
            parameters=self.digest,
            recipient=self.recipient,
            purpose=self.purpose,
            nonce=self.about.nonce + self.mark,
            state=state,
        )

    def _context(self, series: Series) -> StatementContext:
        return StatementContext(
            meter=series.meter,
            register=series.register,
            begin=self.about.begin,
            end=self.about.end,
            slot_minutes=series.slot_minutes,
            parameters=self.digest,
            recipient=self.recipient,
            purpose=self.purpose,
            nonce=self.about.nonce,
        )

    @staticmethod
    @contextmanager
    def _refusals(check: str = "proof") -> Iterator[None]:
        try:
            yield
        except (Malformed, ProofRefused, DayRefused) as error:
            raise AnswerRefused(check, str(error)) from None


def _sources(
    certified: Mapping[Series, CertifiedPeriod], numbers: Sequence[NumberAmount]
) -> list[Source]:
    """Return what numbers are proved over, of each register."""
    by_slots = registers_by_slots(numbers, len(certified))
    return [
        period.source(needs_slots=slots)
        for period, slots in zip(certified.values(), by_slots, strict=True)
    ]
