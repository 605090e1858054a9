# SPDX-License-Identifier: Apache-2.0
"""What the events of certified days say of a meter, across days and registers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from protocols.metrology.certified_day import CertifiedDay
from protocols.metrology.day_content import DayContent
from protocols.metrology.errors import DayRefused
from protocols.metrology.events import FirstDayOfCustody, MeterExchange


@dataclass(frozen=True, slots=True, order=True)
class ExchangedMeter:
    """One meter was taken down and another one put up, within a slot."""

    begin: int
    """When the slot begins, in epoch seconds."""
    old_meter: bytes
    new_meter: bytes


def exchanges_in(days: Iterable[CertifiedDay]) -> tuple[ExchangedMeter, ...]:
    """Return the exchanges in days of one meter, of any of its registers, in order, each once."""
    found = {exchange for day in days for exchange in _exchanges_of(day)}
    return tuple(sorted(found))


def custodies_in(days: Iterable[CertifiedDay]) -> list[tuple[date, bytes]]:
    """Return the first days of custodies, and the custodies' names, in order."""
    found = {
        (day.day, event.custody)
        for day in days
        if isinstance(day.content, DayContent)
        for event in day.content.events
        if isinstance(event, FirstDayOfCustody)
    }
    return sorted(found)


def require_one_custody(days: Sequence[CertifiedDay]) -> None:
    """Return if no day but the first begins a custody; raise `DayRefused` if one does.

    What is told of days of two custodies would be told of two people.
    """
    if changes := custodies_in(days[1:]):
        begins, _ = changes[0]
        raise DayRefused(begins, "another custody of the meter begins with it; ask for each apart")


def require_same_changes(registers: Iterable[Sequence[CertifiedDay]]) -> None:
    """Return if the days of all registers say the same of meter and custody; else `DayRefused`.

    A meter is exchanged with all its registers.
    """
    for days in zip(*registers, strict=True):
        said = {(tuple(_exchanges_of(day)), tuple(custodies_in([day]))) for day in days}
        if len(said) > 1:
            raise DayRefused(days[0].day, "its registers were not exchanged with one meter")


def _exchanges_of(day: CertifiedDay) -> list[ExchangedMeter]:
    content = day.content
    if not isinstance(content, DayContent):
        return []
    starts = content.grid.boundaries()
    return [
        ExchangedMeter(starts[event.slot], event.old_meter, event.new_meter)
        for event in content.events
        if isinstance(event, MeterExchange)
    ]
