# SPDX-License-Identifier: Apache-2.0
"""Corrected days, as commands tell them."""

from collections.abc import Sequence

from tariffs.invoice import CorrectedSlots


def corrected_facts(days: Sequence[CorrectedSlots]) -> list[dict[str, str | int]]:
    """Return corrected days as the JSON outputs show them."""
    return [{"day": one.day.isoformat(), "slots": one.slots} for one in days]


def corrected_in_words(days: Sequence[CorrectedSlots]) -> str:
    """Return how many slots of how many days were corrected, and from which to which."""
    slots = sum(one.slots for one in days)
    first, last = days[0].day, days[-1].day
    when = f"{first}" if first == last else f"{len(days)} days from {first} to {last}"
    return f"{slots} corrected slot{'s' if slots > 1 else ''} of {when}"
