# SPDX-License-Identifier: Apache-2.0
"""Energy that belongs to no slot: what a hub may hide of it, and what its opening may tell."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub.certifier import Certification, Certifier, CertifierKeys
from hub.disclosure import ConsentTerms, Disclosure, ReleaseRefused, UnattributedRequest
from hub.readings import Reading, ReadingFlag
from protocols.metrology import CertifiedDay, CertifiedPeriod, Period, Series, SlotState
from protocols.metrology.unattributed import (
    LARGEST_LIMIT_WH,
    OPENED,
    WITHIN,
    show_unattributed,
    verify_unattributed,
)
from protocols.proofs import FalseStatement, Malformed, ProofRefused, StatementContext
from tests.support.consented import BILLING, guarding
from tests.support.version1 import certify_version_1
from utility_server.errors import StoreError, VerificationFailed
from utility_server.retail.limits import BillLimits, require_limits

WEEK = Period(date(2025, 3, 3), date(2025, 3, 9))
SERIES = Series(b"meter 1", bytes.fromhex("0100010800ff"), "Europe/Berlin", 15)
HIDDEN_WH = 40_000
SEED = bytes(range(32))
CERTIFIER = Certifier(SERIES, CertifierKeys(bytes(32), bytes([1] * 32)))


def certify(hidden_wh: int = HIDDEN_WH, version: int = 2) -> list[Certification]:
    """A week in which the meter was not read for ten hours, and used so much in them."""
    begin, end = WEEK.bounds(SERIES.zone)
    gap = range(begin + 2 * 86_400, begin + 2 * 86_400 + 10 * 3600)
    readings, register, resumed = list[Reading](), 0, False
    for time in range(begin, end + 1, 900):
        if time in gap:
            resumed = True
            continue
        register += 100 + (hidden_wh if resumed else 0)
        readings.append(Reading(time, register, ReadingFlag.RESUMED if resumed else ReadingFlag(0)))
        resumed = False
    if version == 1:
        old = certify_version_1(CERTIFIER, WEEK, readings)
        return [CERTIFIER.restate(one) for one in old]
    done: list[Certification] = []
    for day in WEEK.days(SERIES.zone):
        done.append(CERTIFIER.certify(day, readings, done[-1] if done else None))
    return done


@pytest.fixture(scope="module", params=(1, 2), ids=("stated again", "certified"))
def week(request: pytest.FixtureRequest) -> tuple[CertifiedPeriod, tuple[int, int]]:
    done = certify(version=request.param)
    secret = CERTIFIER.unattributed(done)
    return CertifiedPeriod(tuple(one.day for one in done)), secret


def context(nonce: bytes = bytes(16)) -> StatementContext:
    begin, end = WEEK.bounds(SERIES.zone)
    return StatementContext(
        meter=SERIES.meter, register=SERIES.register, begin=begin, end=end,
        slot_minutes=SERIES.slot_minutes, parameters=bytes(32), recipient="supplier",
        purpose="billing", nonce=nonce,
    )  # fmt: skip


Week = tuple[CertifiedPeriod, tuple[int, int]]


def test_a_week_hides_what_was_not_read(week: Week) -> None:
    days, (hidden, _) = week
    missing = sum(state is SlotState.MISSING for state in days.states)
    assert HIDDEN_WH < hidden < HIDDEN_WH + 200
    assert 38 <= missing <= 42


def test_it_is_shown_to_be_within_a_limit_or_opened(week: Week) -> None:
    days, secret = week
    for limit in (secret[0], secret[0] + 1, LARGEST_LIMIT_WH):
        value, proof = show_unattributed(context(), days, limit, secret, SEED)
        assert value is None
        assert verify_unattributed(context(), days, limit, proof) is None
        assert len(proof) < 1200
    for limit in (0, 1000, secret[0] - 1):
        value, proof = show_unattributed(context(), days, limit, secret, SEED)
        assert value == verify_unattributed(context(), days, limit, proof) == secret[0]
        assert len(proof) < 120


def test_a_hub_cannot_call_it_less_nor_leave_a_day_out(week: Week) -> None:
    days, (hidden, blinding) = week
    with pytest.raises(FalseStatement):
        show_unattributed(context(), days, 10, (hidden - HIDDEN_WH, blinding), SEED)
    _, lie = show_unattributed(context(), days, 1000, (100, blinding), SEED)
    with pytest.raises(ProofRefused):
        verify_unattributed(context(), days, 1000, lie)
    _, proof = show_unattributed(context(), days, 1000, (hidden, blinding), SEED)
    shorter = CertifiedPeriod(days.days[:2] + days.days[3:])
    with pytest.raises(ProofRefused):
        verify_unattributed(context(), shorter, 1000, proof)


def test_a_proof_is_for_its_limit_period_and_question_alone(week: Week) -> None:
    days, secret = week
    for limit, other in ((1 << 17, (1 << 17) - 1), (1000, 2000)):
        _, proof = show_unattributed(context(), days, limit, secret, SEED)
        with pytest.raises(ProofRefused):
            verify_unattributed(context(), days, other, proof)
        with pytest.raises(ProofRefused):
            verify_unattributed(context(bytes([1] * 16)), days, limit, proof)
        _, end = WEEK.bounds(SERIES.zone)
        with pytest.raises(ProofRefused):
            verify_unattributed(replace(context(), end=end + 86_400), days, limit, proof)


def test_what_may_stay_closed_is_not_opened(week: Week) -> None:
    """Or a hub that was asked about 100 kWh could be made to tell all."""
    days, secret = week
    _, proof = show_unattributed(context(), days, 1000, secret, SEED)
    with pytest.raises(ProofRefused):
        verify_unattributed(context(), days, 100_000, proof)


def test_other_bytes_are_no_proof(week: Week) -> None:
    days, secret = week
    for limit in (1000, 100_000):
        _, proof = show_unattributed(context(), days, limit, secret, SEED)
        swapped = (WITHIN if proof[:1] == OPENED else OPENED) + proof[1:]
        for forged in (b"", b"\2" + proof[1:], swapped, proof + b"\0", proof[:-1]):
            with pytest.raises((ProofRefused, Malformed)):
                verify_unattributed(context(), days, limit, forged)
        for place in range(1, len(proof), 7):
            forged = proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :]
            with pytest.raises((ProofRefused, Malformed)):
                verify_unattributed(context(), days, limit, forged)


# The guard

TERMS = replace(BILLING, statement="unattributed", answers=2)
BEGIN, DAY = 1_740_783_600, 86_400
MONTH = 31 * DAY


def asked(**changes: Any) -> UnattributedRequest:
    """A question about a month with ten missing hours, above the limit unless changed."""
    request = UnattributedRequest(
        applet=TERMS.applet, package=TERMS.package, recipient=TERMS.recipient,
        purpose=TERMS.purpose, subject=bytes(32), register="", begin=BEGIN, end=BEGIN + MONTH,
        days=31, limit_wh=5_000, missing_minutes=600, is_opened=True,
    )  # fmt: skip
    return replace(request, **changes)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, BEGIN + MONTH, TERMS) as disclosure:
        yield disclosure


def rule(guard: Disclosure, request: UnattributedRequest) -> str:
    with pytest.raises(ReleaseRefused) as refused:
        guard.permit_unattributed(request)
    return refused.value.rule


def test_an_opening_is_on_record_with_what_it_tells(guard: Disclosure) -> None:
    guard.permit_unattributed(asked())
    (entry,) = guard.log.entries("unattributed")
    said = {name: entry.facts[name] for name in ("recipient", "limit_wh", "opened", "bits")}
    assert said == {"recipient": "supplier", "limit_wh": 5_000, "opened": 1, "bits": 63}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"purpose": "profiling"}, "consent"),
        ({"package": b"another"}, "consent"),
        ({"days": 27}, "period"),
        ({"limit_wh": 999}, "limit"),
        ({"missing_minutes": 465}, "fineness"),
    ],
)
def test_the_guard_refuses_by_name_and_keeps_the_refusal(
    guard: Disclosure, changes: dict[str, Any], broken: str
) -> None:
    assert rule(guard, asked(**changes)) == broken
    assert not list(guard.log.entries("unattributed"))
    (refusal,) = guard.log.entries("refusal")
    assert refusal.facts["statement"] == "unattributed"


def test_a_short_gap_is_bounded_but_not_opened(guard: Disclosure) -> None:
    guard.permit_unattributed(asked(missing_minutes=30, is_opened=False))
    (entry,) = guard.log.entries("unattributed")
    assert (entry.facts["opened"], entry.facts["bits"]) == (0, 1)


def test_periods_that_differ_in_a_day_are_not_both_answered_to_whomever(guard: Disclosure) -> None:
    other: ConsentTerms = replace(TERMS, applet=b"\xf0other", recipient="grid")
    guard.grant(other)
    guard.permit_unattributed(asked())
    for shift in (DAY, -DAY, 30 * DAY):
        shifted = asked(begin=BEGIN + shift, end=BEGIN + shift + MONTH)
        assert rule(guard, shifted) == "window"
        theirs = replace(shifted, applet=other.applet, recipient=other.recipient)
        assert rule(guard, theirs) == "window"
    assert rule(guard, asked(end=BEGIN + MONTH - DAY)) == "window"
    guard.permit_unattributed(asked(begin=BEGIN + MONTH, end=BEGIN + 2 * MONTH))
    fed_in = asked(begin=BEGIN + DAY, end=BEGIN + DAY + MONTH, register="1-0:2.8.0*255")
    guard.permit_unattributed(fed_in)


def test_many_limits_do_not_close_in_on_the_sum(guard: Disclosure) -> None:
    guard.permit_unattributed(asked(is_opened=False, limit_wh=8_000))
    for limit in (4_000, 6_000, 16_000):
        assert rule(guard, asked(limit_wh=limit)) == "limit"
    guard.permit_unattributed(asked(is_opened=False, limit_wh=8_000))
    assert rule(guard, asked(is_opened=False, limit_wh=8_000)) == "count"


def test_a_revoked_consent_ends_it(guard: Disclosure) -> None:
    guard.revoke(1)
    assert rule(guard, asked()) == "consent"


# The utility


def bill_of(certified: tuple[CertifiedDay, ...], estimated: int = 0) -> Any:
    """As much of a verified bill as limits look at."""
    begin, end = WEEK.bounds(SERIES.zone)
    return SimpleNamespace(
        begin=begin, end=end, estimated=estimated, slots=672, certified=certified
    )


def require(limits: BillLimits, bill: Any) -> None:
    require_limits(limits, [], WEEK, SERIES.register, bill)


def test_a_bill_without_an_answer_or_of_too_many_estimated_slots_is_refused_by_name(
    week: Week,
) -> None:
    days = week[0].days
    require(BillLimits(), bill_of(days, 672))
    require(BillLimits(estimated_permille=100), bill_of(days, 67))
    with pytest.raises(VerificationFailed, match="estimated: 68 of 672 slots") as failed:
        require(BillLimits(estimated_permille=100), bill_of(days, 68))
    assert failed.value.check == "estimated"
    with pytest.raises(VerificationFailed, match="at most 1,400 Wh are in no slot") as failed:
        require(BillLimits(unattributed_wh_per_day=200), bill_of(days))
    assert failed.value.check == "unattributed"


@pytest.mark.parametrize("content", [
    "unattributed_wh_per_day = 49", "unattributed_wh_per_day = true", "other = 1", "=",
    "estimated_permille = 1001", 'estimated_permille = "5"',
])  # fmt: skip
def test_damaged_limits_are_no_limits_of_another_kind(tmp_path: Path, content: str) -> None:
    (tmp_path / "limits.toml").write_text(content)
    with pytest.raises(StoreError, match=r"limits\.toml"):
        BillLimits.read(tmp_path)
