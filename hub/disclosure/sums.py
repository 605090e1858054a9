# SPDX-License-Identifier: Apache-2.0
"""The guard's rules about sums over households: period, fineness, group, count, how often, size."""

from collections.abc import Iterable, Sequence

from hub.disclosure.consents import ConsentTerms
from hub.disclosure.frequency import Span, check_often
from hub.disclosure.log import LogEntry
from hub.disclosure.requests import AggregateRequest
from hub.disclosure.rules import ReleaseRefused


def check_sum(request: AggregateRequest, terms: ConsentTerms, opened: Iterable[LogEntry]) -> None:
    """Refuse a part in a sum that a consent does not allow.

    `opened` are the log's entries of all sums so far. Raises `ReleaseRefused`.
    """
    if request.days < terms.least_days:
        raise ReleaseRefused(
            "period", f"{request.days} days, the consent says at least {terms.least_days}"
        )
    if request.resolution_minutes < terms.least_minutes:
        raise ReleaseRefused(
            "fineness",
            f"sums of {request.resolution_minutes} min, the consent says no finer than"
            f" {terms.least_minutes} min",
        )
    if request.group < terms.least_group:
        raise ReleaseRefused(
            "group",
            f"{request.group} households, the consent says at least {terms.least_group}",
        )
    before = [
        (entry.facts["begin"], entry.facts["end"])
        for entry in opened
        if entry.facts["applet"] == request.applet and entry.facts["statement"] == request.statement
    ]
    if request.weights is None:
        _check_curve(request, terms, before)
    else:
        _check_number(request, request.weights.bits, terms, before)
    check_often((request.begin, request.end), before, terms)


def _check_curve(request: AggregateRequest, terms: ConsentTerms, before: Sequence[Span]) -> None:
    same = before.count((request.begin, request.end))
    if same >= terms.answers:
        raise ReleaseRefused("count", f"this period was answered {same} times already")


def _check_number(
    request: AggregateRequest, bits: int, terms: ConsentTerms, before: Sequence[Span]
) -> None:
    # Prices could be chosen to tell the group's use of single slots: every number counts.
    near = sum(begin < request.end and request.begin < end for begin, end in before)
    if near >= terms.answers:
        raise ReleaseRefused(
            "count",
            f"{near} weighed sums about what overlaps were told already, the consent says"
            f" {terms.answers}",
        )
    if bits > terms.bits:
        raise ReleaseRefused("size", f"{bits} bits, the consent allows {terms.bits}")
