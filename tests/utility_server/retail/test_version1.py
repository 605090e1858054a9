# SPDX-License-Identifier: Apache-2.0
"""What version 0.1 answered with verifies for as long as anybody keeps it, and no lie of that form.

The bundles in `version1/` were made by version 0.1: of two days (one an hour short), hour by hour.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.version1 import BillAnswerVersion1, decode_any_answer
from applets.common.evidence import AnswerRefused, check_days
from applets.common.questions import MessageRefused
from applets.profiling.version1 import ProfilingAnswerVersion1
from applets.settlement.version1 import SettlementAnswerVersion1
from protocols.metrology import CertifiedDay, Period, Series
from tests.support.command import run_meterlet
from tests.support.soak import places
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.claims import BILL, PROFILE, SETTLEMENT, Claim
from utility_server.retail.verification import (
    BillBundle,
    ProfilingBundle,
    SettlementBundle,
)

FOLDER = Path(__file__).parent / "version1"
ONE_SUM = BillBundle.decode((FOLDER / "bill.bundle").read_bytes())
TWO_SUMS = BillBundle.decode((FOLDER / "feed_in_bill.bundle").read_bytes())
SETTLED = SettlementBundle.decode((FOLDER / "settlement.bundle").read_bytes())
SCORES = ProfilingBundle.decode((FOLDER / "scores.bundle").read_bytes())
SAMPLE = ProfilingBundle.decode((FOLDER / "sample.bundle").read_bytes())

Check: TypeAlias = Callable[[], object]


def refused_by(check: Check) -> str:
    try:
        check()
    except VerificationFailed as failed:
        return failed.check
    except CannotVerify:
        return "cannot verify"
    return "verified"


def altered(bundle: BillBundle, **change: object) -> BillBundle:
    answer = BillAnswerVersion1.decode(bundle.answer)
    return replace(bundle, answer=replace(answer, **change).encode())  # type: ignore[arg-type]


def with_proof(bundle: BillBundle, proof: bytes) -> BillBundle:
    drawn = BillAnswerVersion1.decode(bundle.answer).drawn
    assert drawn is not None
    return altered(bundle, drawn=replace(drawn, proof=proof))


def test_a_bill_of_one_sum_verifies_however_it_comes() -> None:
    _, tariff, verified = BILL.verify(ONE_SUM, is_stored=True)
    assert verified.exact is not None
    assert (str(verified.total), verified.exact.total) == ("13.95", "13.95")
    assert verified.exact.items[0].amount_exact == 13_147_560_000 * 10**6
    assert (tariff.name, verified.slots, verified.days) == ("stored", 47, 2)
    assert refused_by(lambda: BILL.verify(ONE_SUM)) == "message"  # no answer to a new question
    done = run_meterlet("bill", "verify", FOLDER / "bill.bundle")
    assert done.returncode == 0, done.stderr
    assert "13.95 EUR under stored" in done.stdout


def test_a_settlement_verifies_however_it_comes() -> None:
    assert refused_by(lambda: SETTLEMENT.verify(SETTLED)) == "message"
    _, _, settled = SETTLEMENT.verify(SETTLED, is_stored=True)
    assert (settled.value, settled.slots, settled.missing) == (6_219_508_157, 47, ())
    done = run_meterlet("bill", "verify", FOLDER / "settlement.bundle")
    assert done.returncode == 0, done.stderr


def test_sums_alone_that_were_bound_to_no_question_verify_where_they_are_stored() -> None:
    _, _, verified = BILL.verify(TWO_SUMS, is_stored=True)
    assert verified.exact is not None
    amounts = [item.amount_exact // 10**6 for item in verified.exact.items]
    assert str(verified.total) == "9.80"
    assert {13_147_560_000, -4_143_680_000} <= set(amounts)
    assert refused_by(lambda: BILL.verify(TWO_SUMS)) == "message"
    for bundle, best in ((SCORES, "p0"), (SAMPLE, "p1")):
        _, _, profiled = PROFILE.verify(bundle, is_stored=True)
        assert (profiled.best, profiled.slots) == (best, 47)
        assert refused_by(lambda bundle=bundle: PROFILE.verify(bundle)) == "message"  # type: ignore[misc]
    for name in ("feed_in_bill", "scores", "sample"):
        done = run_meterlet("bill", "verify", FOLDER / f"{name}.bundle")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("claim", "bundle"),
    [
        (BILL, ONE_SUM), (BILL, TWO_SUMS), (SETTLEMENT, SETTLED), (PROFILE, SCORES),
        (PROFILE, SAMPLE),
    ],
)  # fmt: skip
def test_an_answer_of_version_1_is_none_to_a_new_question(
    claim: Claim[Any, Any, Any], bundle: Any
) -> None:
    assert refused_by(lambda: claim.verify(bundle)) == "message"
    claim.verify(bundle, is_stored=True)


def test_days_of_version_1_answer_no_new_question() -> None:
    """Whatever form the answer has: a hub of 0.1 with an applet of today."""
    drawn = BillAnswerVersion1.decode(ONE_SUM.answer).drawn
    assert drawn is not None
    days = [CertifiedDay.decode(day) for day in drawn.days]
    content = days[0].content
    series = Series(content.meter, content.register, content.grid.zone, content.grid.slot_minutes)
    period = Period(days[0].day, days[-1].day)
    key = Ed25519PublicKey.from_public_bytes(ONE_SUM.certifier)
    with pytest.raises(AnswerRefused, match="version 1, which answers no new question"):
        check_days(drawn.days, period, series, key)
    assert len(check_days(drawn.days, period, series, key, is_stored=True).days) == 2


def test_answers_come_back_as_they_were() -> None:
    for bundle in (ONE_SUM, TWO_SUMS):
        answer = decode_any_answer(bundle.answer)
        assert isinstance(answer, BillAnswerVersion1) == (bundle is ONE_SUM)
        assert answer.encode() == bundle.answer
    with pytest.raises(MessageRefused):
        BillAnswer.decode(ONE_SUM.answer)
    with pytest.raises(MessageRefused):
        BillAnswerVersion1.decode(TWO_SUMS.answer)
    assert SettlementAnswerVersion1.decode(SETTLED.answer).encode() == SETTLED.answer


def test_no_part_of_a_bill_of_one_sum_can_be_altered() -> None:
    answer = BillAnswerVersion1.decode(ONE_SUM.answer)
    assert answer.drawn is not None
    proof, (first, second) = answer.drawn.proof, answer.drawn.days
    lies = {
        "total": altered(ONE_SUM, total=Decimal("1.00")),
        "tariff": altered(ONE_SUM, tariff=bytes(32)),
    }
    for forged in (
        bytes(8) + proof[8:],
        proof[:8] + bytes(32) + proof[40:],
        proof[:8] + b"\xff" * 32 + proof[40:],
        proof[:40] + bytes(32),
    ):
        lie = with_proof(ONE_SUM, forged)
        assert refused_by(lambda lie=lie: BILL.verify(lie, is_stored=True)) == "proof"  # type: ignore[misc]
    for change in ({"nonce": bytes(16)}, {"meter": b"another"}, {"begin": 0}, {"end": 2**31}):
        lie = altered(ONE_SUM, **change)
        assert refused_by(lambda lie=lie: BILL.verify(lie, is_stored=True)) == "message"  # type: ignore[misc]
    for days in ((first,), (second,), (second, first), (first, second, second)):
        lie = altered(ONE_SUM, drawn=replace(answer.drawn, days=days))
        assert refused_by(lambda lie=lie: BILL.verify(lie, is_stored=True)) == "chain"  # type: ignore[misc]
    for check, lie in lies.items():
        assert refused_by(lambda lie=lie: BILL.verify(lie, is_stored=True)) == check  # type: ignore[misc]


def test_another_nonce_in_question_and_answer_is_another_question() -> None:
    answer = replace(BillAnswerVersion1.decode(ONE_SUM.answer), nonce=bytes(16))
    question = BillQuestion.decode(ONE_SUM.question)
    question = replace(question, about=replace(question.about, nonce=bytes(16)))
    moved = replace(ONE_SUM, question=question.encode(), answer=answer.encode())
    assert refused_by(lambda: BILL.verify(moved, is_stored=True)) == "proof"


def test_one_sum_is_no_answer_to_a_tariff_that_takes_more() -> None:
    """Or its opening would be held against a plan that it is not about."""
    wanted, sums = BillQuestion.decode(TWO_SUMS.question), decode_any_answer(TWO_SUMS.answer)
    answer = BillAnswerVersion1.decode(ONE_SUM.answer)
    lie = replace(answer, tariff=sums.tariff, total=sums.total)
    bundle = replace(TWO_SUMS, question=wanted.encode(), answer=lie.encode())
    assert refused_by(lambda: BILL.verify(bundle, is_stored=True)) == "message"


@pytest.mark.parametrize("bundle", [ONE_SUM, TWO_SUMS], ids=["one sum", "two sums"])
def test_no_bit_of_a_bill_can_be_flipped(bundle: BillBundle) -> None:
    data, dice = bundle.encode(), random.Random(1)
    for _ in range(300):
        flipped = bytearray(data)
        flipped[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        with pytest.raises((VerificationFailed, CannotVerify)):
            BILL.verify(BillBundle.decode(bytes(flipped)), is_stored=True)


def test_every_byte_of_value_and_proof_of_a_settlement_counts() -> None:
    data = SETTLED.answer
    until = data.index(SettlementAnswerVersion1.decode(data).days[0])
    for place in range(until):
        lie = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(VerificationFailed):
            SETTLEMENT.verify(replace(SETTLED, answer=lie), is_stored=True)


@pytest.mark.more_in_soak
@pytest.mark.parametrize("bundle", [SCORES, SAMPLE], ids=["scores", "sample"])
def test_every_byte_of_a_stored_profiles_proof_counts(bundle: ProfilingBundle) -> None:
    answer = ProfilingAnswerVersion1.decode(bundle.answer)
    for place in places(answer.proof, 21):
        proof = bytearray(answer.proof)
        proof[place] ^= 1
        lie = replace(bundle, answer=replace(answer, proof=bytes(proof)).encode())
        with pytest.raises(VerificationFailed):
            PROFILE.verify(lie, is_stored=True)
