# SPDX-License-Identifier: Apache-2.0
"""Periods: months, quarters, years and any days, each with one spelling."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.metrology import GridError, Period

DAYS = st.dates(date(1970, 1, 1), date(2199, 12, 31))
PERIODS = st.tuples(DAYS, DAYS).map(lambda two: Period(min(two), max(two)))


@given(PERIODS)
def test_a_period_is_read_as_it_is_said(period: Period) -> None:
    assert Period.parse(str(period)) == period
    assert Period.parse(f"{period.first}..{period.last}") == period


@given(st.text(alphabet="0123456789-Q.W ٣", max_size=24))
def test_any_text_is_a_period_or_refused(text: str) -> None:
    try:
        period = Period.parse(text)
    except GridError:
        return
    assert text in (str(period), f"{period.first}..{period.last}")


@given(st.integers(1970, 2199))
def test_a_year_is_its_quarters_and_a_quarter_its_months(year: int) -> None:
    quarters = [Period.quarter(year, number) for number in range(1, 5)]
    months = [Period.month(year, number) for number in range(1, 13)]
    assert Period.year(year) == Period(quarters[0].first, quarters[3].last)
    for parts in (quarters, months):
        assert sum(part.day_count for part in parts) == Period.year(year).day_count
        for before, after in pairwise(parts):
            assert after.first == before.last + timedelta(days=1)
    for number, quarter in enumerate(quarters):
        assert (quarter.first, quarter.last) == (
            months[3 * number].first, months[3 * number + 2].last,
        )  # fmt: skip
        assert all(month.within(quarter) for month in months[3 * number : 3 * number + 3])
        assert not Period.year(year).within(quarter)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2025", "2025-01-01", "2025-12-31"),
        ("2025-Q1", "2025-01-01", "2025-03-31"),
        ("2025-Q4", "2025-10-01", "2025-12-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2025-03-10..2025-04-09", "2025-03-10", "2025-04-09"),
        ("2025-03-10", "2025-03-10", "2025-03-10"),
        ("2025-03-01..2025-03-31", "2025-03-01", "2025-03-31"),
    ],
)
def test_each_form_is_of_these_days(text: str, first: str, last: str) -> None:
    assert Period.parse(text) == Period(date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "text",
    [
        "", "25", "2025-3", "2025-13", "2025-00", "2025-Q0", "2025-Q5", "2025-q1", "2025Q1",
        "20250310", "2025-W10-1", "2025-03-10..", "..2025-03-10", "2025-04-09..2025-03-10",
        "2025-03-10...2025-04-09", "2025-02-30", "1969", "2200", " 2025", "2025-03 ", "٢٠٢٥",
        "2025-03-10..20250409", "20250310..2025-04-09", "2025..2026", "-025-Q1", "+202-03",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(GridError):
        Period.parse(text)
