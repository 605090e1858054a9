# SPDX-License-Identifier: Apache-2.0
"""A month's bills over a commitment a day: few bytes, and to the cent what slot by slot gives.

A hundred homes in `make soak`, some in `make test`.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from applets.billing.charges import plan_bill
from applets.billing.statement import PURPOSE, RECIPIENT
from protocols.metrology import CertifiedDay, CertifiedPeriod, Period
from protocols.proofs import NumbersContext, VectorCommitment, verify_numbers
from tariffs import Tariff
from tariffs.source import load_toml
from tests.support.drawn_bills import DrawnHome
from tests.support.soak import IS_SOAKING
from utility_server.errors import VerificationFailed
from utility_server.retail.batches import check_answers
from utility_server.retail.claims import BILL, VerifiedAnswer

MONTH = Period.month(2025, 3)  # 2,972 quarter-hours: the clock is put forward
HOMES = 100 if IS_SOAKING else 4
MOST_BYTES = 17_000
UTILITY: Any = SimpleNamespace(revocations=())
TIERS = """
format = 1
name = "tiers"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-even", decimals = 2 }
[[charge]]
name = "tiers"
kind = "blocks"
interval = "month"
block = [{ up_to = "120", price = "0.17" }, { up_to = "250", price = "0.22" }, { price = "0.3" }]
[[step]]
name = "VAT"
kind = "tax"
percent = "19"
"""
TARIFFS = [
    load_toml(Path("examples/tariffs/de-modul3-2025.toml").read_text()),
    load_toml(TIERS),
]


def total_by_slots(home: DrawnHome, tariff: Tariff) -> str:
    """Return the total that the same numbers have, proved and verified slot by slot."""
    answer = home.answer(tariff, by_slots=True)
    begin, end = home.bounds
    states = [0] * len(home.starts)
    plan = plan_bill(tariff, home.starts, 900, states, begin, end)
    days = map(CertifiedDay.decode, answer.registers[home.series.register])
    source = CertifiedPeriod(tuple(days)).source(needs_slots=True)
    context = NumbersContext(
        home.series.meter, (home.series.register,), begin, end, 15, tariff.digest, RECIPIENT,
        PURPOSE, answer.nonce,
    )  # fmt: skip
    (number,), _ = verify_numbers(context, [source], [plan.total], answer.proof, "the bill")
    assert plan.amount_of(number) == answer.total
    return str(answer.total)


@pytest.fixture(scope="module")
def homes() -> list[DrawnHome]:
    return [DrawnHome.drawn(seed, MONTH, "Europe/Berlin", 15) for seed in range(HOMES)]


def test_bills_over_a_commitment_a_day_are_those_of_slot_by_slot_and_a_tenth_of_the_bytes(
    homes: list[DrawnHome],
) -> None:
    billed = [TARIFFS[place % len(TARIFFS)] for place in range(len(homes))]
    asked = [home.asked(tariff) for home, tariff in zip(homes, billed, strict=True)]
    for home, tariff, (_, bundle), outcome in zip(
        homes, billed, asked, check_answers(UTILITY, BILL, asked), strict=True
    ):
        assert isinstance(outcome, VerifiedAnswer)
        total = str(outcome.result.total)
        assert total == home.reckoned(tariff) == total_by_slots(home, tariff)
        assert outcome.result.slots == 2972
        assert len(bundle.answer) < MOST_BYTES
        for day in outcome.result.certified:
            assert day.slots is None  # nothing went along that tells slots apart
        period = CertifiedPeriod(outcome.result.certified)
        assert isinstance(period.source(needs_slots=False).commitment, VectorCommitment)


def test_a_bill_proved_slot_by_slot_is_none(homes: list[DrawnHome]) -> None:
    """What a statement is proved over follows from the statement; no hub chooses it."""
    home, tariff = homes[0], TARIFFS[0]
    question, answer = home.question(tariff), home.answer(tariff, by_slots=True)
    [outcome] = check_answers(UTILITY, BILL, [(question, home.bundle(question, answer))])
    assert isinstance(outcome, VerificationFailed)
    assert outcome.check == "proof"
    bare = {
        code: tuple(CertifiedDay.decode(day).with_slots(None).encode() for day in days)
        for code, days in answer.registers.items()
    }
    lie = home.bundle(question, replace(answer, registers=bare))
    [outcome] = check_answers(UTILITY, BILL, [(question, lie)])
    assert isinstance(outcome, VerificationFailed)
