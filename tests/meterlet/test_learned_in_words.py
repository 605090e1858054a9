# SPDX-License-Identifier: Apache-2.0
"""What a recipient learned, in sentences that are true whatever was released."""

from typing import Any

import pytest

from meterlet.commands.inspect.releases import learned_in_words


def facts(
    *, statement: str = "linear", registers: tuple[str | None, ...] = (None,), **known: Any
) -> dict[str, Any]:
    usual = {
        "slots": 2972,
        "degrees_of_freedom": 1,
        "degrees_of_freedom_at_most": 2,
        "bits": 47,
        "shortest_window": None,
        "nothing_finer_than_minutes": 336 * 60,
        "peaks": 0,
    }
    released = [
        {"recipient": "supplier", "statement": statement, "registers": [register]}
        for register in registers
    ]
    names = ("supplier", "all of them together", "Nordstrom eG")
    return {"released": released, "known": dict.fromkeys(names, usual | known)}


def window(first: str, last: str, days: float) -> dict[str, Any]:
    return {"first_day": first, "last_day": last, "days": days}


def test_one_number() -> None:
    assert learned_in_words("supplier", facts(), 15) == (
        "The supplier learned one number (47 bits) about your 2,972 quarter-hours."
        " It cannot work out your use on any single day."
        " Even with unlimited effort it could learn at most two totals, each over 336 hours or"
        " more."
    )


def test_several_numbers_peaks_and_use_above_limits() -> None:
    given = facts(statement="demand+excess", degrees_of_freedom=4, bits=138, peaks=3)
    words = learned_in_words("supplier", given, 5)
    assert "learned at most 4 numbers and how high three peaks were, not when (138 bits" in words
    assert "2,972 slots of 5 minutes." in words
    assert words.endswith(
        "336 hours or more, and how high peaks were, and how far your use went above limits."
    )
    alone = facts(statement="demand", degrees_of_freedom=0, bits=14, peaks=1)
    words = learned_in_words("supplier", alone, 15)
    assert "learned how high one peak was, not when (14 bits) about" in words


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (window("2025-03-01", "2025-03-31", 30.96), "from 2025-03-01 to 2025-03-31, and over no"),
        (window("2025-03-30", "2025-03-30", 0.96), "your use on 2025-03-30."),
        (window("2025-03-04", "2025-03-04", 0.5), "over 12 hours from 2025-03-04 on, and no"),
        (window("2025-03-04", "2025-03-05", 1), "over 24 hours from 2025-03-04 on, and no"),
    ],
)
def test_the_shortest_stretch_that_can_be_worked_out(known: dict[str, Any], sentence: str) -> None:
    words = learned_in_words("supplier", facts(shortest_window=known), 15)
    assert sentence in words
    assert "cannot" not in words


def test_days_are_promised_only_where_no_class_of_slots_fits_into_one() -> None:
    fine = facts(nothing_finer_than_minutes=60, degrees_of_freedom_at_most=723)
    words = learned_in_words("supplier", fine, 15)
    assert "single day" not in words
    assert words.endswith("at most 723 totals, each over 60 minutes or more.")
    longest_day = facts(nothing_finer_than_minutes=25 * 60)
    assert "single day" not in learned_in_words("supplier", longest_day, 15)
    sample = facts(statement="sample", nothing_finer_than_minutes=15)
    assert "the sampled readings apart." in learned_in_words("supplier", sample, 15)


def test_whoever_it_is() -> None:
    together = learned_in_words(
        "all of them together", facts(registers=(None, "1-0:2.8.0*255")), 30
    )
    assert together.startswith("All of them together learned one number (47 bits) about your")
    assert "2,972 half-hours of two registers. They cannot work out" in together
    assert "unlimited effort they could" in together
    assert learned_in_words("Nordstrom eG", facts(), 15).startswith("Nordstrom eG learned one")
    nothing = facts(slots=0)
    assert learned_in_words("supplier", nothing, 15) == (
        "The supplier learned no number about your use."
    )
