# SPDX-License-Identifier: Apache-2.0
"""The first checks of every answer about certified days, each with the name it refuses under.

`message` (form, and that it answers this question), `days` (form), `signature`, `chain` (each day
of the period once, in order, of this meter).

Errors: AnswerRefused
"""

from collections.abc import Iterable
from decimal import Decimal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.common.questions import About
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    DayRefused,
    MalformedDay,
    Period,
    Series,
    verify_days,
)


class AnswerRefused(Exception):
    """An answer is not the right one to its question."""

    def __init__(self, check: str, reason: str, difference: Decimal | None = None) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason
        self.difference = difference
        """How much the answer asks beyond what is proved, where that is known."""


def check_about(asked: About, answered: About) -> None:
    """Return if an answer is about what was asked; raise `AnswerRefused` otherwise."""
    if answered.nonce != asked.nonce:
        raise AnswerRefused("message", "the answer belongs to another question")
    if answered != asked:
        raise AnswerRefused("message", "the answer is about another meter or period")


def check_days(
    encoded: Iterable[bytes], period: Period, series: Series, certifier: Ed25519PublicKey
) -> CertifiedPeriod:
    """Return the certified days of a period, verified; raise `AnswerRefused`."""
    days = []
    for place, data in enumerate(encoded, start=1):
        try:
            days.append(CertifiedDay.decode(data))
        except MalformedDay as error:
            raise AnswerRefused("days", f"day {place} of the answer: {error}") from None
    try:
        return verify_days(days, period, series, certifier)
    except DayRefused as error:
        check = "signature" if "signature" in str(error) else "chain"
        raise AnswerRefused(check, str(error)) from None


def starts_of(certified: CertifiedPeriod) -> list[int]:
    """Return when the slots of certified days start."""
    return [time for grid in certified.grids for time in grid.boundaries()[:-1]]
