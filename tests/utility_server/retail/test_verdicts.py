# SPDX-License-Identifier: Apache-2.0
"""`meterlet bill verify` on bills by charges: it matches, differs and where, or cannot be told."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.billing.messages import BillAnswer
from meterlet.commands.main import main
from tariffs import Tariff
from tariffs.signing import sign_tariff
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
from utility_server.retail.verification import BillBundle

SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))


@pytest.fixture(scope="module")
def month() -> Month:
    return drawn_month(6)


@pytest.fixture(scope="module")
def tariff() -> Tariff:
    return plan_drawn(6, demand=True)


@pytest.fixture(scope="module")
def answer(month: Month, tariff: Tariff) -> BillAnswer:
    return answered(tariff, month)


def verdict(
    folder: Path, month: Month, tariff: Tariff, answer: BillAnswer
) -> tuple[int, dict[str, str | None], str]:
    question = replace(question_for(month), document=sign_tariff(tariff, SUPPLIER, b"key"))
    bundle = BillBundle(
        question.encode(),
        answer.encode(),
        KEYS.public_key.public_bytes_raw(),
        SUPPLIER.public_key().public_bytes_raw(),
        SERIES.register,
        SERIES.zone,
        SERIES.slot_minutes,
    )
    file = folder / "bundle"
    file.write_bytes(bundle.encode())
    plain = CliRunner().invoke(main, ["bill", "verify", str(file)])
    done = CliRunner().invoke(main, ["bill", "verify", str(file), "--json"])
    assert done.exit_code == plain.exit_code
    return done.exit_code, json.loads(done.stdout), plain.stdout


def test_a_right_bill_matches(
    tmp_path: Path, month: Month, tariff: Tariff, answer: BillAnswer
) -> None:
    code, facts, text = verdict(tmp_path, month, tariff, answer)
    assert (code, facts["verdict"], facts["total"]) == (0, "matches", str(answer.total))
    assert text.startswith(f"matches: {answer.total} GBP")


def test_a_wrong_total_differs_by_so_much(
    tmp_path: Path, month: Month, tariff: Tariff, answer: BillAnswer
) -> None:
    wrong = replace(answer, total=answer.total + Decimal("1.25"))
    code, facts, text = verdict(tmp_path, month, tariff, wrong)
    assert (code, facts["verdict"], facts["where"]) == (3, "differs", "total")
    assert facts["by"] == "1.25"
    assert text == "differs by 1.25 at the check of the total\n"


def test_a_proof_of_something_else_differs_by_nobody_knows_how_much(
    tmp_path: Path, month: Month, tariff: Tariff, answer: BillAnswer
) -> None:
    proof = answer.proof[:-1] + bytes([answer.proof[-1] ^ 1])
    wrong = replace(answer, proof=proof)
    code, facts, text = verdict(tmp_path, month, tariff, wrong)
    assert (code, facts["verdict"], facts["where"], facts["by"]) == (3, "differs", "proof", None)
    assert text == "differs at the check of the proof\n"


def test_what_a_tariff_does_not_let_anyone_prove_cannot_be_told(
    tmp_path: Path, month: Month, answer: BillAnswer
) -> None:
    other = load_toml(FLAT + '[[charge]]\nname = "sun"\nkind = "feed-in"\nprice = "0.05"\n')
    code, facts, text = verdict(tmp_path, month, other, replace(answer, tariff=other.digest))
    assert (code, facts["verdict"], text) == (4, "cannot tell", "cannot tell\n")
    assert "it credits feed-in, and no feed-in register of this meter is enrolled" in str(
        facts["why"]
    )
