# SPDX-License-Identifier: Apache-2.0
"""A hub that lies, in each way it can, to a utility that checks: nothing of it gets through."""

import json

import pytest

from meterlet.demo.dishonest_hub import KINDS
from tests.support.command import ROOT, run_meterlet
from tests.support.soak import sampled

REFUSED_BY = {
    "reading": "proof: the proof does not hold: the bill: sums of register 1",
    "commitment": "signature: 2025-03-01: the signature does not match",
    "fee": "proof: the proof does not hold: the bill: sums of register 1",
    "tariff": "tariff: the answer was worked out under another tariff",
    "proof": "proof: the proof does not hold: the bill: the ranges of number 1",
    "signature": "signature: 2025-03-31: the signature does not match",
    "drop-day": "chain: 2025-03-16: the day is missing",
    "reorder-day": "chain: 2025-03-16: in its place is 2025-03-17",
    "replay": "message: the answer belongs to another question",
    "message": "channel: response authentication failed",
}


def test_every_kind_of_lie_has_its_check() -> None:
    assert set(REFUSED_BY) == set(KINDS)


@pytest.mark.parametrize(
    "kind", sampled(KINDS, ["fee", "signature", "drop-day", "replay", "message"])
)
def test_a_lie_is_refused_by_the_check_that_is_there_for_it(kind: str) -> None:
    done = run_meterlet("demo", "--tamper", kind, "--json")
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    *_, last = done.stderr.splitlines()
    assert json.loads(last)["message"] == REFUSED_BY[kind]


TIERS = ROOT / "examples" / "tariffs" / "us-baseline-tou-2025.toml"
BY_CHARGES = {
    **REFUSED_BY,
    "reading": "proof: the proof does not hold: the bill: sums of register 1",
    "fee": "proof: the proof does not hold: the bill: sums of register 1",
}


@pytest.mark.parametrize("kind", sampled(KINDS, ["reading"]))
def test_a_lie_about_a_bill_by_charges_is_refused_as_well(kind: str) -> None:
    done = run_meterlet("demo", "--tariff", TIERS, "--tamper", kind, "--json")
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    *_, last = done.stderr.splitlines()
    assert json.loads(last)["message"] == BY_CHARGES[kind]
