# SPDX-License-Identifier: Apache-2.0
"""Hours that were exported say what is left of a window: no peak or count tells of less than that.

All days but the first are exported, hour by hour, and windows of eight hours begin late on it. What
such a window comes to, less the hours that are known, is what the first day's last hour used.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    Disclosure,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from hub.disclosure.requests import ExportRequest
from hub.vault.database import Database
from protocols.amounts import (
    Above,
    Count,
    Excess,
    Group,
    Metered,
    Peaks,
    QuotientRule,
    SlotForm,
    Total,
)
from tests.support.consented import BILLING

MARCH, DAY, DAYS = 1_740_787_200, 96, 31
SLOTS = DAY * DAYS
LATEST = MARCH + 40 * 86_400
Act = Callable[[Disclosure], None]


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Disclosure]:
    def make() -> Disclosure:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        database = Database(folder / "hub.db", [CONSENT_COMPONENT, LOG_COMPONENT], key=bytes(32))
        disclosure = Disclosure(database, lambda: LATEST)
        for kind in ("linear", "demand", "count", "excess"):
            disclosure.grant(replace(BILLING, statement=kind))
        return disclosure

    return make


def export(minutes: int, first: int, last: int) -> Act:
    """Return what exports days of March to the supplier, in sums of so many minutes."""

    def act(guard: Disclosure) -> None:
        subject = f"2025-03-{first:02}/2025-03-{last:02}"
        begin, end = MARCH + (first - 1) * 86_400, MARCH + last * 86_400
        sums = (end - begin) // 60 // minutes
        guard.grant(
            replace(
                BILLING, applet=b"", package=b"", purpose="advice", statement=f"export {subject}",
                least_days=1, least_minutes=minutes, answers=1, bits=1_000_000,
            )
        )  # fmt: skip
        guard.permit_export(
            ExportRequest("supplier", "advice", minutes, begin, end, subject, sums, 20 * sums)
        )

    return act


def told(amount: Peaks | Count | Excess) -> Act:
    """Return what tells a number about March."""

    def act(guard: Disclosure) -> None:
        total = Total((Metered(0, amount),), (), 1, QuotientRule.HALF_UP)
        number = number_of(total, MARCH, 900, SLOTS)
        guard.permit(
            ReleaseRequest(b"\xf0bill", b"package", "supplier", "billing", DAYS, (number,), b"t")
        )

    return act


def windows(first: int, slots: int = 32) -> tuple[SlotForm, ...]:
    return tuple(SlotForm(((day * DAY + first, slots, 1),)) for day in range(DAYS - 1))


def peak(first: int) -> Peaks:
    return Peaks((Group(windows(first), 0),))


@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize(
    "number",
    [peak(92), peak(95), Count(windows(92), 5_000), Count(windows(95), 5_000)],
    ids=["peak from 23:00", "peak from 23:45", "count from 23:00", "count from 23:45"],
)
def test_what_is_left_of_a_window_is_not_told(
    fresh: Callable[[], Disclosure], minutes: int, number: Peaks | Count
) -> None:
    acts = (export(minutes, 2, 31), told(number))
    for first, second in permutations(acts):
        guard = fresh()
        first(guard)
        with pytest.raises(ReleaseRefused) as refused:
            second(guard)
        assert refused.value.rule in ("fineness", "window")


def test_low_hours_say_that_no_slot_was_above_a_limit(fresh: Callable[[], Disclosure]) -> None:
    # Every hour but one is known to have used little: what is above the limit was in that one.
    some = SlotForm(((0, 4, 1), (DAY, SLOTS - DAY, 1)))
    number = Excess(SlotForm(()), (Above(1_000, some),))
    guard = fresh()
    export(60, 2, 31)(guard)
    with pytest.raises(ReleaseRefused) as refused:
        told(number)(guard)
    assert refused.value.rule in ("fineness", "window")


def test_whole_windows_are_told_beside_an_export_of_other_days(
    fresh: Callable[[], Disclosure],
) -> None:
    night = tuple(SlotForm(((day * DAY, 32, 1),)) for day in range(DAYS))
    for number in (Peaks((Group(night, 0),)), Count(night, 5_000)):
        guard = fresh()
        told(number)(guard)
        with pytest.raises(ReleaseRefused):
            export(60, 2, 31)(guard)  # one night is left
        told(Count(night, 9_000))(guard)
