# SPDX-License-Identifier: Apache-2.0
"""A bill over corrected days is to the cent what the corrected readings make, and names them."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.billing.statement import VerifiedBill, check_bill
from hub.certifier import Certification, Certifier, DayUse
from protocols.metrology import CorrectionReason
from tariffs import Tariff, compute_bill
from tariffs.source import load_toml
from tests.support.private_bills import (
    FLAT,
    KEYS,
    SERIES,
    Month,
    answered,
    drawn_month,
    plan_drawn,
    question_for,
)
from tests.support.soak import examples
from utility_server.errors import VerificationFailed
from utility_server.retail.corrected_bills import corrected_slots, correction_between

CERTIFIER = Certifier(SERIES, KEYS)


def corrected(month: Month, known: Month) -> Month:
    """Return a month's days, corrected to what is known better."""
    days: list[Certification] = []
    run: list[tuple[Certification, DayUse]] = []

    def sign() -> None:
        if run:
            days.extend(CERTIFIER.correct(run, CorrectionReason.LATE))
            run.clear()

    for old, new in zip(month.certified, known.certified, strict=True):
        if old.use == new.use:
            sign()
            days.append(old)
        else:
            run.append((old, new.use))
    sign()
    return Month(month.period, tuple(days))


def verified(tariff: Tariff, month: Month) -> VerifiedBill:
    answer = answered(tariff, month).encode()
    return check_bill(question_for(month), answer, tariff, month.period, SERIES, KEYS.public_key)


@examples(2, soak=20)
@given(st.integers(0, 10**6), st.integers(2, 500), st.integers(2, 90), st.booleans())
def test_a_corrected_private_bill_is_the_plain_one_over_the_corrected_readings(
    seed: int, begin: int, length: int, has_demand: bool
) -> None:
    tariff = plan_drawn(seed, demand=has_demand)
    month = drawn_month(seed, [range(begin, begin + length)])
    known = drawn_month(seed)
    after = corrected(month, known)
    assert after.uses == known.uses
    old, new = verified(tariff, month), verified(tariff, after)
    told = correction_between(old, new, 7)
    assert told is not None
    begin, end = month.bounds
    plain = [
        Decimal(compute_bill(tariff, m.starts, 1800, m.uses, m.states, begin=begin, end=end).total)
        for m in (month, known)
    ]
    assert (old.total, new.total) == tuple(plain)
    assert told.difference == plain[1] - plain[0]
    changed = [
        place
        for place, (a, b) in enumerate(
            zip(
                zip(month.uses, month.states, strict=True),
                zip(known.uses, known.states, strict=True),
                strict=True,
            )
        )
        if a != b
    ]
    assert told.slots == len(changed)
    assert told.days == corrected_slots(new.certified)


def test_bills_that_do_not_go_together_have_no_difference() -> None:
    tariff = load_toml(FLAT)
    month, known = drawn_month(3, [range(100, 120)]), drawn_month(3)
    after = corrected(month, known)
    old, new = verified(tariff, month), verified(tariff, after)
    assert correction_between(new, new) is None
    with pytest.raises(VerificationFailed, match="is not the newest revision known"):
        correction_between(new, old)
    with pytest.raises(VerificationFailed, match="another period or currency"):
        correction_between(replace(old, begin=old.begin + 1), new)
    forked = corrected(month, drawn_month(3, [range(100, 103), range(106, 120)]))
    with pytest.raises(VerificationFailed, match="corrects another day"):
        correction_between(verified(tariff, forked), new)
    foreign = verified(tariff, drawn_month(4))
    with pytest.raises(VerificationFailed, match="is not the one that was verified before"):
        correction_between(foreign, new)
