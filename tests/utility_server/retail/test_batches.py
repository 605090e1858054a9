# SPDX-License-Identifier: Apache-2.0
"""Answers that are checked at once: each has the outcome that it has by itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from applets.billing.messages import BillQuestion
from protocols.aggregation.revocations import Revocation, RevocationList
from protocols.metrology import Period
from protocols.proofs import Point, batch
from tariffs.source import load_toml
from tests.support.drawn_bills import DrawnHome, drawn_homes
from tests.support.private_bills import FLAT
from utility_server.errors import CannotVerify, UtilityError, VerificationFailed
from utility_server.retail.batches import check_answers
from utility_server.retail.claims import BILL, VerifiedAnswer, check_answer
from utility_server.retail.verification import BillBundle

ZONE = "Europe/London"
PERIOD = Period(date(2013, 3, 25), date(2013, 4, 8))
TARIFF = load_toml(FLAT)
UTILITY: Any = SimpleNamespace(revocations=())
Asked = tuple[BillQuestion, BillBundle]


@pytest.fixture(scope="module")
def homes() -> list[DrawnHome]:
    return drawn_homes(range(8), PERIOD, ZONE, 60)


@pytest.fixture(scope="module")
def asked(homes: list[DrawnHome]) -> list[Asked]:
    return [home.asked(TARIFF) for home in homes]


def alone(utility: Any, one: Asked) -> VerifiedAnswer[Any, Any, Any] | UtilityError:
    try:
        return check_answer(utility, BILL, *one)
    except (VerificationFailed, CannotVerify) as error:
        return error


def told(outcome: object) -> object:
    return (type(outcome), str(outcome)) if isinstance(outcome, Exception) else outcome


def require_same(utility: Any, asked: list[Asked]) -> list[object]:
    """Check at once, and that each has the outcome that it has by itself; return these."""
    outcomes = check_answers(utility, BILL, asked)
    assert [told(one) for one in outcomes] == [told(alone(utility, one)) for one in asked]
    return list(outcomes)


def test_right_answers_are_what_the_tariff_makes_of_the_readings(
    homes: list[DrawnHome], asked: list[Asked]
) -> None:
    outcomes = require_same(UTILITY, asked)
    totals = [str(one.result.total) for one in outcomes if isinstance(one, VerifiedAnswer)]
    assert totals == [home.reckoned(TARIFF) for home in homes]
    assert check_answers(UTILITY, BILL, []) == []


def bent(place: int) -> Callable[[DrawnHome], Asked]:
    """Return the answer with a proof of which one byte is another."""

    def bend(home: DrawnHome) -> Asked:
        answer, question = home.answer(TARIFF), home.question(TARIFF)
        proof = bytearray(answer.proof)
        proof[place] ^= 1
        return question, home.bundle(question, replace(answer, proof=bytes(proof)))

    return bend


def dearer(home: DrawnHome) -> Asked:
    answer, question = home.answer(TARIFF), home.question(TARIFF)
    wrong = replace(answer, total=answer.total + Decimal("0.01"))
    return question, home.bundle(question, wrong)


def of_another(home: DrawnHome) -> Asked:
    """Return the answer of another home under this one's name and keys."""
    other = DrawnHome.drawn(99, PERIOD, ZONE, 60)
    question = home.question(TARIFF)
    return question, home.bundle(question, replace(other.answer(TARIFF), meter=home.series.meter))


def without_a_question(home: DrawnHome) -> Asked:
    question, bundle = home.asked(TARIFF)
    return question, replace(bundle, question=b"what?")


WRONG: dict[str, Callable[[DrawnHome], Asked]] = {
    "last scalar": bent(-1),
    "in the middle": bent(500),
    "first point": bent(0),
    "total": dearer,
    "days of another": of_another,
    "no question": without_a_question,
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("place", [0, 5])
def test_one_wrong_answer_is_refused_as_by_itself_and_no_other(
    name: str, place: int, homes: list[DrawnHome], asked: list[Asked]
) -> None:
    asked = [*asked[:place], WRONG[name](homes[place]), *asked[place + 1 :]]
    outcomes = require_same(UTILITY, asked)
    assert [n for n, one in enumerate(outcomes) if not isinstance(one, VerifiedAnswer)] == [place]
    refusal = outcomes[place]
    assert isinstance(refusal, CannotVerify if name == "no question" else VerificationFailed)
    assert refusal.__traceback__ is None  # it is kept, and holds nothing of the answer


def test_several_wrong_answers_are_each_refused_by_name(
    homes: list[DrawnHome], asked: list[Asked]
) -> None:
    mixed = [make(home) for make, home in zip(WRONG.values(), homes, strict=False)]
    outcomes = require_same(UTILITY, [*mixed, *asked[len(mixed) :]])
    right = [isinstance(one, VerifiedAnswer) for one in outcomes]
    assert right == [False] * len(mixed) + [True] * (len(asked) - len(mixed))
    checks = [one.check for one in outcomes if isinstance(one, VerificationFailed)]
    assert checks[0] == "proof"
    assert {"proof", "total", "signature"} == set(checks)


def test_an_answer_to_another_question_than_the_one_at_hand_cannot_be_verified(
    homes: list[DrawnHome], asked: list[Asked]
) -> None:
    [first, second] = check_answers(UTILITY, BILL, [(asked[1][0], asked[0][1]), asked[1]])
    assert isinstance(first, CannotVerify)
    assert "another one" in str(first)
    assert isinstance(second, VerifiedAnswer)


def test_days_of_a_revoked_certifier_are_refused_and_no_others(
    homes: list[DrawnHome], asked: list[Asked]
) -> None:
    begin, _ = homes[2].bounds
    revoked = Revocation(homes[2].keys.public_key.public_bytes_raw(), begin)
    lists = [RevocationList(1, begin, (revoked,)).signed(bytes(32))]
    customers = SimpleNamespace(announcements=lambda meter: ())
    utility: Any = SimpleNamespace(revocations=lists, customers=customers)
    outcomes = require_same(utility, asked)
    assert [isinstance(one, VerifiedAnswer) for one in outcomes].count(False) == 1
    assert isinstance(outcomes[2], VerificationFailed)
    assert outcomes[2].check == "revoked"


def test_all_proofs_are_summed_up_once(asked: list[Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    sums, add_up = list[batch.Equation](), batch.Equation.sum

    def counted(equation: batch.Equation) -> Point:
        sums.append(equation)
        return add_up(equation)

    monkeypatch.setattr(batch.Equation, "sum", counted)
    check_answers(UTILITY, BILL, asked)
    assert len(sums) == 1
