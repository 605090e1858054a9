# SPDX-License-Identifier: Apache-2.0
"""Tariffs in words: what `meterlet tariff show` prints."""

from itertools import groupby
from typing import Final

from tariffs.rounding import format_decimal
from tariffs.schedule import ALL_DAYS, DAY_NAMES, MINUTES, When

__all__ = ["days_text", "energy_text", "percent_text", "price_text", "when_text"]

WEEK: Final = 0x7F


def days_text(days: int) -> str:
    """Return the days of a rule, such as "Mon-Fri, holiday"."""
    runs = []
    for on, group in groupby(range(7), key=lambda day: days >> day & 1):
        run = [DAY_NAMES[day] for day in group]
        if on:
            runs.append(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(runs + [DAY_NAMES[7]] * (days >> 7))


def when_text(rule: When) -> str:
    """Return a rule, such as "Mon-Fri 06:00-22:00 from 06-01 to 08-31"."""
    days = "" if rule.days in (ALL_DAYS, WEEK) else days_text(rule.days)
    times = ", ".join(f"{_clock(begin)}-{_clock(until)}" for begin, until in rule.times)
    dates = ", ".join(map(str, rule.dates))
    whole = rule.times == ((0, MINUTES),)
    parts = [days, "" if whole and (days or dates) else times, dates and f"({dates})"]
    return " ".join(part for part in parts if part)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def price_text(micro: int, currency: str) -> str:
    """Return a price with as many decimals as it needs, two at least."""
    text = format_decimal(micro, 6)
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')} {currency}"


def energy_text(wh: int) -> str:
    """Return an energy in kWh."""
    return f"{format_decimal(wh, 3)} kWh"


def percent_text(ppm: int) -> str:
    """Return a rate, such as "19 %"."""
    return f"{format_decimal(ppm, 4).rstrip('0').rstrip('.')} %"
