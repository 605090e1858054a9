# SPDX-License-Identifier: Apache-2.0
"""A bill bundle with each of its parts altered: a check refuses it, or it cannot be verified."""

import random
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.billing.messages import BillAnswer, BillQuestion
from tests.support.command import run_meterlet
from tests.support.soak import examples
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.claims import BILL
from utility_server.retail.utility import Utility
from utility_server.retail.verification import BillBundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> BillBundle:
    folder = tmp_path_factory.mktemp("kept") / "demo"
    done = run_meterlet("demo", "--keep", folder, "--json")
    assert done.returncode == 0, done.stderr
    with Utility.open(folder / "utility") as utility:
        (entry,) = utility.ledger.entries()
        return BillBundle.decode(utility.ledger.evidence(entry))


def written(bundle: BillBundle) -> bytes:
    """Return the bundle as a forger writes it, whatever its members are."""
    members = asdict(bundle)
    codes = [members.pop("register"), *members.pop("others")]
    members["main"] = codes[0]
    terms = {"slot_minutes": members.pop("slot_minutes")}
    members["registers"] = {code.hex(): terms for code in codes}
    return cbor2.dumps({"format": bundle.form, **members}, canonical=True)


def check(bundle: BillBundle) -> str:
    """Return which check refuses a bundle, once it has been written and read."""
    try:
        BILL.verify(BillBundle.decode(written(bundle)))
    except VerificationFailed as failed:
        return failed.check
    except CannotVerify:
        return "cannot verify"
    return "verified"


def test_the_bundle_itself_verifies(bundle: BillBundle) -> None:
    assert written(bundle) == bundle.encode()
    assert check(bundle) == "verified"


@pytest.mark.parametrize(
    ("members", "refused_by"),
    [
        ({"certifier": bytes(32)}, "signature"),
        ({"certifier": b"\xff" * 32}, "signature"),
        ({"certifier": b""}, "cannot verify"),
        ({"supplier": bytes(32)}, "tariff"),
        ({"supplier": b"\xff" * 32}, "tariff"),
        ({"register": bytes.fromhex("0100020800ff")}, "message"),
        ({"register": b"abcdef"}, "cannot verify"),
        ({"register": bytes.fromhex("0700030000ff")}, "cannot verify"),  # of gas, not electricity
        ({"register": b""}, "cannot verify"),
        ({"zone": "UTC"}, "cannot verify"),
        ({"zone": "Europe/Paris"}, "chain"),
        ({"zone": ""}, "cannot verify"),
        ({"zone": "../../etc/passwd"}, "cannot verify"),
        ({"zone": "\0"}, "cannot verify"),
        ({"zone": 5}, "cannot verify"),
        ({"slot_minutes": 30}, "chain"),
        ({"slot_minutes": 0}, "chain"),
        ({"slot_minutes": 2**70}, "cannot verify"),
        ({"slot_minutes": 15.0}, "cannot verify"),
        ({"slot_minutes": True}, "cannot verify"),
        ({"question": b""}, "cannot verify"),
        ({"answer": b""}, "message"),
    ],
)
def test_no_member_can_be_altered(
    bundle: BillBundle, members: dict[str, Any], refused_by: str
) -> None:
    assert check(replace(bundle, **members)) == refused_by


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        ({"total": Decimal("1.00")}, "total"),
        ({"tariff": bytes(32)}, "tariff"),
        ({"nonce": bytes(16)}, "message"),
        ({"meter": b"another"}, "message"),
        ({"begin": 0}, "message"),
        ({"end": 2**31}, "message"),
    ],
)
def test_no_part_of_the_answer_can_be_altered(
    bundle: BillBundle, change: dict[str, Any], refused_by: str
) -> None:
    answer = replace(BillAnswer.decode(bundle.answer), **change)
    assert check(replace(bundle, answer=answer.encode())) == refused_by


def test_no_part_of_the_proof_can_be_altered(bundle: BillBundle) -> None:
    answer = BillAnswer.decode(bundle.answer)
    proof = answer.proof
    for forged in (
        bytes(32) + proof[32:],  # the number
        (1 + int.from_bytes(proof[:32], "big")).to_bytes(32, "big") + proof[32:],  # a cent more
        proof[:32] + bytes(33) + proof[65:],
        proof[:-32] + bytes(32),
        proof[:-32],
        proof + b"\0",
    ):
        told = replace(answer, proof=forged)
        assert check(replace(bundle, answer=told.encode())) == "proof"


def test_no_part_of_the_question_can_be_altered(bundle: BillBundle) -> None:
    question = BillQuestion.decode(bundle.question)
    for change, refused_by in (
        ({"nonce": bytes(16)}, "message"),
        ({"meter": b"another"}, "message"),
        ({"begin": question.about.begin - 86_400}, "message"),
        ({"end": 2**32 - 1}, "cannot verify"),
    ):
        altered = replace(question, about=replace(question.about, **change))
        assert check(replace(bundle, question=altered.encode())) == refused_by, change
    unsigned = replace(question, document=b"")
    assert check(replace(bundle, question=unsigned.encode())) == "tariff"


def test_days_cannot_be_left_out_repeated_or_exchanged(bundle: BillBundle) -> None:
    answer = BillAnswer.decode(bundle.answer)
    [(register, days)] = answer.registers.items()
    for forged in (
        days[1:],
        days[:-1],
        days[:7] + days[8:],
        (*days[:7], days[6], *days[8:]),
        (days[1], days[0], *days[2:]),
        (*days, days[-1]),
        (b"", *days[1:]),
    ):
        told = replace(answer, registers={register: forged})
        assert check(replace(bundle, answer=told.encode())) in {"chain", "days"}, len(forged)


def test_no_bit_of_it_can_be_flipped(bundle: BillBundle) -> None:
    data, dice = bundle.encode(), random.Random(1)
    for _ in range(150):
        flipped = bytearray(data)
        flipped[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        with pytest.raises((VerificationFailed, CannotVerify)):
            BILL.verify(BillBundle.decode(bytes(flipped)))


def test_a_bundle_has_one_encoding(bundle: BillBundle) -> None:
    members = cbor2.loads(bundle.encode())
    for data in (
        cbor2.dumps({**members, "extra": 1}, canonical=True),
        cbor2.dumps(dict(sorted(members.items()))),
        cbor2.dumps({name: members[name] for name in members if name != "zone"}, canonical=True),
        bundle.encode() + b"\0",
    ):
        if data != bundle.encode():
            with pytest.raises(CannotVerify):
                BillBundle.decode(data)


@examples(75, soak=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from(
            [
                bytes.fromhex("c4821bffffffffffffffff01"),
                bytes.fromhex("9bffffffffffffffff"),
                bytes.fromhex("5b7fffffffffffffff"),
                bytes.fromhex("d81e820100"),
                bytes.fromhex("a18000"),
                b"\x81" * 100_000,
            ]
        ),
    )
)
def test_any_bytes_are_a_bundle_or_cannot_be_verified(data: bytes) -> None:
    try:
        BillBundle.decode(data)
    except CannotVerify:
        return
    raise AssertionError("such bytes are no bundle")


def test_a_bundle_in_a_file_gets_the_exit_code_of_what_is_wrong(
    bundle: BillBundle, tmp_path: Path
) -> None:
    file = tmp_path / "march.bundle"
    for content, code in (
        (bundle.encode(), 0),
        (replace(bundle, supplier=bytes(32)).encode(), 3),
        (replace(bundle, zone="UTC").encode(), 4),
        (b"", 4),
    ):
        file.write_bytes(content)
        done = run_meterlet("bill", "verify", file)
        assert done.returncode == code, done.stderr
        assert len(done.stderr.splitlines()) == (code != 0)
