# SPDX-License-Identifier: Apache-2.0
"""How often: so many answers about periods that lie within any so many days.

A consent to 3 answers within 31 days lets a recipient be told 3 numbers about any stretch of 31
days, whichever periods in it the numbers are about: the same one again, or one a day later. What
counts is the time that an answer is about and not the clock when it was given. So twelve months
may be billed in one go, and neither waiting nor a clock that is set back makes room for more.

A longer period than those days lies in no such stretch; there the rule `count` is what holds.
"""

from collections.abc import Iterable
from typing import Final

from hub.disclosure.consents import ConsentTerms
from hub.disclosure.rules import ReleaseRefused

_DAY: Final = 86_400
_CLOCK_CHANGE: Final = 2 * 3_600
"""So much longer than 24 hours a day may be, once in a stretch."""

Span = tuple[int, int]
"""A period, in epoch seconds: its begin and its end."""


def check_often(asked: Span, told: Iterable[Span], terms: ConsentTerms, count: int = 1) -> None:
    """Refuse `count` answers about a period that would be too many within the consent's days.

    `told` are the periods of the answers of this kind so far, each as often as it was answered.
    """
    reach = terms.within_days * _DAY + _CLOCK_CHANGE
    begin, end = asked
    near = [one for one in told if max(end, one[1]) - min(begin, one[0]) <= reach]
    for start in {begin, *(first for first, _ in near if end - reach <= first < begin)}:
        inside = sum(start <= first and last <= start + reach for first, last in near)
        if end <= start + reach and inside + count > terms.answers:
            raise ReleaseRefused(
                "how often",
                f"{inside} answers about periods within {terms.within_days} days were given"
                f" already, the consent says {terms.answers}",
            )
