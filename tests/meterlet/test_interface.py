# SPDX-License-Identifier: Apache-2.0
"""What a script gets from `meterlet`: right bills, and the documented error for anything else."""

import ast
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import meterlet
from meterlet.resources import EXAMPLES
from tariffs.signing import sign_tariff
from tests.support.private_bills import (
    KEYS,
    SERIES,
    answered,
    drawn_month,
    plan_drawn,
    question_for,
)
from utility_server.retail.verification import BillBundle, ProfilingBundle

SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
CERTIFIER = KEYS.public_key.public_bytes_raw()
ECONOMY_7 = EXAMPLES / "tariffs" / "gb-economy7-2013.toml"
READINGS = EXAMPLES / "readings" / "home-2013-03.csv"


@pytest.fixture(scope="module")
def bundle() -> BillBundle:
    month, tariff = drawn_month(6), plan_drawn(6, demand=True)
    question = replace(question_for(month), document=sign_tariff(tariff, SUPPLIER, b"key"))
    return BillBundle(
        question.encode(),
        answered(tariff, month).encode(),
        CERTIFIER,
        SUPPLIER.public_key().public_bytes_raw(),
        SERIES.register,
        SERIES.zone,
        SERIES.slot_minutes,
    )


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    public = SUPPLIER.public_key()
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def tampered(bundle: BillBundle) -> bytes:
    at = len(bundle.answer) - 5
    answer = bundle.answer[:at] + bytes([bundle.answer[at] ^ 1]) + bundle.answer[at + 1 :]
    return replace(bundle, answer=answer).encode()


def test_a_right_bill_says_what_is_to_be_paid_and_for_what(
    bundle: BillBundle, tmp_path: Path, pem: Path
) -> None:
    path = tmp_path / "march.bundle"
    path.write_bytes(bundle.encode())
    bill = meterlet.verify_bill(path, supplier=pem, certifier=CERTIFIER.hex())
    assert bill == meterlet.verify_bill(bundle.encode(), supplier=SUPPLIER.public_key())
    assert bill.meter == SERIES.meter.hex()
    assert (bill.currency, bill.exact, bill.lines) == ("GBP", None, ())
    assert (bill.begin, bill.end) == (
        datetime(2013, 3, 25, tzinfo=UTC),
        datetime(2013, 4, 8, 23, tzinfo=UTC),
    )
    assert bill.begin.isoformat() == "2013-03-25T00:00:00+00:00"
    assert bill.end.isoformat() == "2013-04-09T00:00:00+01:00"
    assert (bill.missing_slots, bill.bits) == (0, int(100 * bill.total).bit_length())
    with pytest.raises(FrozenInstanceError):
        bill.total = Decimal(0)  # type: ignore[misc]  # that it cannot be done is the point


def test_a_tampered_bundle_is_found_wrong(bundle: BillBundle) -> None:
    with pytest.raises(meterlet.VerificationFailed) as failed:
        meterlet.verify_bill(tampered(bundle))
    assert failed.value.check
    assert isinstance(failed.value, meterlet.MeterletError)


@pytest.mark.parametrize("role", ["supplier", "certifier"])
@pytest.mark.parametrize("other", [bytes(range(32)), bytes(range(32)).hex()])
def test_another_key_than_the_one_that_is_trusted_is_wrong(
    bundle: BillBundle, role: str, other: bytes | str
) -> None:
    with pytest.raises(meterlet.VerificationFailed) as failed:
        if role == "supplier":
            meterlet.verify_bill(bundle.encode(), supplier=other)
        else:
            meterlet.verify_bill(bundle.encode(), certifier=other)
    assert failed.value.check == role


@pytest.mark.parametrize("key", [b"", "12", "no key", bytes(31), Path(__file__)])
def test_what_is_no_key_is_neither_right_nor_wrong(
    bundle: BillBundle, key: bytes | str | Path
) -> None:
    with pytest.raises(meterlet.MeterletError) as refused:
        meterlet.verify_bill(bundle.encode(), supplier=key)
    assert not isinstance(refused.value, meterlet.VerificationFailed)


def test_of_a_part_of_a_bundle_it_cannot_be_told(bundle: BillBundle, tmp_path: Path) -> None:
    path = tmp_path / "march.bundle"
    path.write_bytes(bundle.encode()[:-100])
    with pytest.raises(meterlet.CannotVerify, match=r"march\.bundle"):
        meterlet.verify_bill(path)
    with pytest.raises(FileNotFoundError):
        meterlet.verify_bill(tmp_path / "april.bundle")


def test_a_bundle_of_another_kind_is_no_bill(bundle: BillBundle) -> None:
    members = (bundle.question, bundle.answer, bundle.certifier, bundle.supplier)
    other = ProfilingBundle(*members, bundle.register, bundle.zone, bundle.slot_minutes)
    with pytest.raises(meterlet.CannotVerify):
        meterlet.verify_bill(other.encode())


def test_readings_are_priced_to_the_penny() -> None:
    tariff = meterlet.load_tariff(ECONOMY_7)
    readings = meterlet.read_csv(READINGS, "home", interval="30min")
    bill = meterlet.price(tariff, readings)
    assert (bill.currency, bill.complete, len(readings.drawn_wh)) == ("GBP", True, 1488)
    assert bill.total == "53.19"
    first = readings.drawn_wh[int(datetime(2013, 3, 1, tzinfo=UTC).timestamp())]
    assert first == 104
    day = meterlet.price(
        tariff,
        meterlet.read_csv(
            READINGS, "home", interval="30min",
            begin=datetime(2013, 3, 2, tzinfo=UTC), end=datetime(2013, 3, 3, tzinfo=UTC),
        ),
    )  # fmt: skip
    assert Decimal(0) < Decimal(day.total) < Decimal(bill.total)


def test_any_period_can_be_priced_and_all_its_days_count() -> None:
    tariff = meterlet.load_tariff(ECONOMY_7)
    readings = meterlet.read_csv(READINGS, "home", interval="30min")
    begin, end = datetime(2013, 3, 4, tzinfo=UTC), datetime(2013, 3, 11, tzinfo=UTC)
    week = meterlet.price(tariff, readings, begin=begin, end=end)
    days = meterlet.Period(date(2013, 3, 4), date(2013, 3, 10))
    cut = meterlet.read_csv(READINGS, "home", interval="30min", period=days)
    assert len(cut.drawn_wh) == 7 * 48
    for same in (
        meterlet.price(tariff, readings, period="2013-03-04..2013-03-10"),
        meterlet.price(tariff, readings, period=days),
        meterlet.price(tariff, cut),
    ):
        assert (same.total_exact, same.complete) == (week.total_exact, True)
    assert meterlet.price(tariff, readings, period="2013-03").complete
    quarter = meterlet.price(tariff, readings, period=meterlet.Period.quarter(2013, 1))
    assert len(quarter.missing_slots) == (31 + 28) * 48
    with pytest.raises(meterlet.MeterletError, match="'March' is no period; write 2025, 2025-Q1"):
        meterlet.price(tariff, readings, period="March")
    with pytest.raises(meterlet.MeterletError, match="say the period, or begin and end"):
        meterlet.price(tariff, readings, period="2013-03", begin=begin)


def test_a_bundle_says_its_days(bundle: BillBundle) -> None:
    bill = meterlet.verify_bill(bundle.encode())
    assert bill.period == meterlet.Period.filling(
        int(bill.begin.timestamp()), int(bill.end.timestamp()), bundle.zone
    )


def test_bills_with_memory_go_on_from_each_other(tmp_path: Path) -> None:
    prepaid = tmp_path / "prepaid.toml"
    step = '\n[[step]]\nname = "paid before"\nkind = "credit"\n'
    prepaid.write_text(ECONOMY_7.read_text() + step)
    tariff = meterlet.load_tariff(prepaid)
    days = [
        meterlet.read_csv(
            READINGS, "home", interval="30min",
            begin=datetime(2013, 3, day, tzinfo=UTC), end=datetime(2013, 3, day + 1, tzinfo=UTC),
        )
        for day in (2, 3, 4)
    ]  # fmt: skip
    costs = [
        Decimal(meterlet.price(meterlet.load_tariff(ECONOMY_7), day).total) for day in days[:2]
    ]
    first = meterlet.price(tariff, days[0], paid=2_500_000)
    second = meterlet.price(tariff, days[1], memory=first.memory)
    assert Decimal(first.total) == 0
    assert Decimal(second.total) == sum(costs) - Decimal("2.50") > 0
    last = meterlet.price(tariff, days[1], memory=first.memory, paid=9_000_000, is_last=True)
    assert Decimal(last.total) == Decimal(second.total) - 9 < 0
    with pytest.raises(meterlet.MeterletError, match="bill in order, with none left out"):
        meterlet.price(tariff, days[2], memory=first.memory)


def test_what_cannot_be_priced_is_said_with_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("format = 1\n")
    with pytest.raises(meterlet.MeterletError, match=r"broken\.toml"):
        meterlet.load_tariff(broken)
    with pytest.raises(meterlet.MeterletError, match="no column 'house'"):
        meterlet.read_csv(READINGS, "house", interval="30min")
    with pytest.raises(meterlet.MeterletError, match="unit 'J'"):
        meterlet.read_csv(READINGS, "home", unit="J")
    with pytest.raises(meterlet.MeterletError, match="time zone"):
        meterlet.read_csv(READINGS, "home", begin=datetime(2013, 3, 2))
    late = meterlet.load_tariff(EXAMPLES / "tariffs" / "de-modul3-2025.toml")
    with pytest.raises(meterlet.MeterletError):
        meterlet.price(late, meterlet.read_csv(READINGS, "home", interval="30min"))


def test_a_tariff_must_be_signed_by_whom_one_trusts(tmp_path: Path, pem: Path) -> None:
    signed = tmp_path / "signed"
    signed.write_bytes(sign_tariff(meterlet.load_tariff(ECONOMY_7), SUPPLIER, b"key"))
    assert meterlet.load_tariff(signed, signer=pem).name == "gb-economy7-2013"
    with pytest.raises(meterlet.VerificationFailed):
        meterlet.load_tariff(ECONOMY_7, signer=pem)


def test_sml_is_decoded_and_damage_is_counted() -> None:
    from hub.meters.emulated import emulated_meter_id, telegrams
    from hub.readings import Reading, Readout
    from protocols.metrology import ACTIVE_ENERGY_IMPORT

    reading = Reading(1_700_000_000, 4_000_321)
    readouts = iter([Readout({ACTIVE_ENERGY_IMPORT: reading})])
    wire = b"".join(telegrams(emulated_meter_id(1), readouts))
    found = meterlet.decode_sml(wire)
    assert (len(found.telegrams), found.damaged) == (1, 0)
    assert any(value.scaled == Decimal("4000321.0") for value in found.values)
    damaged = meterlet.decode_sml(wire[:60] + bytes([wire[60] ^ 1]) + wire[61:])
    assert (damaged.damaged, damaged.values) == (1, ())
    assert meterlet.decode_sml(b"no SML").is_empty


def test_the_list_of_names_is_exact() -> None:
    tree = ast.parse(Path(meterlet.__file__).read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for inner in node.body
        if isinstance(inner, ast.ImportFrom)
        for alias in inner.names
    }
    assert imported == set(meterlet.__all__) == set(dir(meterlet))
    assert meterlet.__all__ == sorted(meterlet.__all__)
    assert all(getattr(meterlet, name).__doc__ for name in meterlet.__all__)
    with pytest.raises(AttributeError):
        _ = meterlet.verify_anything  # type: ignore[attr-defined]  # there is no such name


def test_importing_it_imports_nothing_else() -> None:
    program = (
        "import sys, meterlet\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'cryptography', 'click',"
        " 'rich', 'protocols', 'tariffs', 'sml_codec', 'hub', 'utility_server'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def verify_bills(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, EXAMPLES / "verify_bills.py", folder, *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_the_script_says_each_bundles_verdict_and_the_worst_of_all(
    bundle: BillBundle, tmp_path: Path, pem: Path
) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    assert verify_bills(folder).returncode == 4
    (folder / "a.bundle").write_bytes(bundle.encode())
    done = verify_bills(folder, "--supplier", pem)
    assert done.returncode == 0
    assert done.stdout.startswith("a.bundle: right: ")
    (folder / "b.bundle").write_bytes(b"")
    assert verify_bills(folder).returncode == 4
    (folder / "c.bundle").write_bytes(tampered(bundle))
    done = verify_bills(folder)
    assert done.returncode == 3
    verdicts = [line.split(": ")[1] for line in done.stdout.splitlines()]
    assert [verdict.split(" by ")[0] for verdict in verdicts] == ["right", "cannot tell", "wrong"]


def test_the_script_says_what_is_wrong_with_how_it_was_called(
    bundle: BillBundle, tmp_path: Path
) -> None:
    nowhere = verify_bills(tmp_path / "nowhere")
    assert (nowhere.returncode, "there is no such folder" in nowhere.stderr) == (2, True)
    (tmp_path / "a.bundle").write_bytes(bundle.encode())
    for key in (tmp_path / "a.bundle", tmp_path / "no.pem"):
        done = verify_bills(tmp_path, "--supplier", key)
        assert (done.returncode, done.stderr) == (4, "")
        assert done.stdout.startswith("a.bundle: cannot tell: ")
