# SPDX-License-Identifier: Apache-2.0
"""The last bill of a contract, with a real hub: asked for, shown, and never gone on from."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from applets.billing.messages import BillQuestion
from applets.common.questions import About
from hub.inspection.views.bill import Verdict, check_invoices
from hub.machine.machine import AppletMachine
from meterlet import verify_chain
from meterlet.commands.inspect.proofs import BillingProofs
from meterlet.commands.main import main
from protocols.enrolment import Enrolment
from protocols.metrology import Period
from tariffs import Tariff
from tariffs.source import load_toml
from tests.support.entered import check_ledger
from tests.support.pages import browser
from tests.support.year_home import ZONE, YearHome, opened
from utility_server.errors import BillOutOfOrder, CannotVerify, NoContract, VerificationFailed
from utility_server.retail.audit import check_entry
from utility_server.retail.billing import BilledPeriod
from utility_server.retail.carried_states import EnteredChains

pytestmark = pytest.mark.one_database

HEAD = f"""
format = 1
name = "moving"
revision = 1
currency = "EUR"
zone = "{ZONE}"
valid_from = 2025-01-01
valid_until = 2026-02-01
rounding = {{ rule = "half-up", decimals = 2 }}
[[charge]]
name = "energy"
kind = "energy"
price = "0.2470"
"""
INSTALMENT = load_toml(
    f'{HEAD}[[step]]\nname = "plan"\nkind = "instalment"\nper_month = "95"\ntrue_up = "year"\n'
)
PREPAID = load_toml(f'{HEAD}[[step]]\nname = "account"\nkind = "credit"\n')
MONTHS = [Period.month(2025, month) for month in range(1, 7)]
LAST = date(2025, 3, 31)
MICRO = 10**6
LAST_BILL = {
    "en": "is the last bill of the contract",
    "de": "ist die letzte Rechnung des Vertrags",
    "fr": "est la dernière facture du contrat",
    "it": "ultima bolletta del contratto",
}


@pytest.fixture
def home(
    tmp_path: Path, half_year_home: tuple[Path, Enrolment], machine: AppletMachine
) -> Iterator[YearHome]:
    folder, enrolment = half_year_home
    shutil.copytree(folder, tmp_path / "home")
    with opened(tmp_path / "home", machine, enrolment) as home:
        home.utility.contracts.open(home.meter, date(2025, 1, 1))
        yield home


def ask(home: YearHome, period: Period, tariff: Tariff = INSTALMENT) -> BillQuestion:
    return home.utility.question(home.meter, period, home.utility.sign(tariff), 0)


def billed(home: YearHome, tariff: Tariff, months: list[Period]) -> list[BilledPeriod]:
    found = []
    for month in months:
        found.append(home.bill(tariff, month))
        home.deliver(found[-1])
    return found


def test_who_moves_out_in_spring_is_settled_with_and_the_next_one_begins_anew(
    home: YearHome, tmp_path: Path
) -> None:
    earlier = billed(home, INSTALMENT, MONTHS[:2])
    home.utility.contracts.close(home.meter, LAST)
    assert ask(home, MONTHS[2]).is_last
    [last] = billed(home, INSTALMENT, MONTHS[2:3])
    memory = None
    for month in MONTHS[:2]:
        memory = home.plain(INSTALMENT, month, memory).memory
    plain = home.plain(INSTALMENT, MONTHS[2], memory, is_last=True)
    assert f"{last.verified.total:f}" == plain.total != "95.00"
    assert (last.verified.is_last, last.invoice.is_last) == (True, True)
    assert last.entry.content["last"] == 1
    assert last.verified.state is not None
    assert last.verified.state.values == ()
    for bill in earlier:
        assert "last" not in bill.entry.content
        assert not bill.invoice.is_last
    check_ledger(home)
    check_at_home(home, last, plain.total)
    check_offline([*earlier, last], tmp_path)
    # nothing more from this account
    with pytest.raises(NoContract):
        ask(home, MONTHS[3])
    home.utility.contracts.open(home.meter, date(2025, 4, 1))
    april = home.bill(INSTALMENT, MONTHS[3])
    assert april.verified.state is not None
    assert april.verified.state.account != last.verified.state.account
    assert april.verified.state.number == 1
    check_ledger(home)


def check_at_home(home: YearHome, last: BilledPeriod, total: str) -> None:
    """The resident's software comes to the same, and says that it is the last bill."""
    checked = check_invoices(home.device, home.enrolment.applet)[-1]
    assert (checked.verdict, checked.reason) == (Verdict.MATCHES, "")
    assert checked.bill is not None
    assert (checked.bill.total, checked.bill.is_last, checked.carried) == (total, True, ())
    proof = BillingProofs().check(home.device, home.enrolment.applet, last.invoice)
    assert (proof.verdict, proof.reason) == (Verdict.MATCHES, "")
    inspect = ["inspect", "bill", "--hub", str(home.device.folder)]
    shown = CliRunner().invoke(main, [*inspect, "--json"])
    assert json.loads(shown.output)["memory"]["last"] is True
    assert (
        "the last bill of the contract: it settles all" in CliRunner().invoke(main, inspect).output
    )
    with browser(home.device.folder) as anna:
        for language, sentence in LAST_BILL.items():
            anna.post("/language", language=language, next="/bill")
            assert sentence in anna.get("/bill").text
        applet = home.enrolment.applet.hex()
        before = anna.get(f"/bill?applet={applet}&number={last.invoice.number - 1}").text
        assert LAST_BILL["it"] not in before


def check_offline(bills: list[BilledPeriod], folder: Path) -> None:
    """Bundles say it, too, and none with a changed question verifies."""
    bundles = []
    for place, bill in enumerate(bills):
        bundles.append(folder / f"{place}.bundle")
        bundles[-1].write_bytes(bill.bundle.encode())
    told = CliRunner().invoke(main, ["bill", "verify", "--json", *map(str, bundles)])
    assert told.exit_code == 0, told.output
    facts = json.loads(told.output)["bills"]
    assert [bill["memory"].get("last") for bill in facts] == [None, None, True]
    text = CliRunner().invoke(main, ["bill", "verify", str(bundles[-1])]).output
    assert "the last bill of the contract: it settles all" in text
    assert [bill.memory and bill.memory.is_last for bill in verify_chain(bundles)] == [
        False, False, True,
    ]  # fmt: skip
    for bill in bills:
        question = BillQuestion.decode(bill.bundle.question)
        turned = replace(question, is_last=not question.is_last)
        forged = folder / "forged.bundle"
        forged.write_bytes(replace(bill.bundle, question=turned.encode()).encode())
        refused = CliRunner().invoke(main, ["bill", "verify", str(forged)])
        assert (refused.exit_code, "at the check of the proof" in refused.output) == (3, True)


@pytest.mark.parametrize("tariff", [INSTALMENT, PREPAID], ids=["instalment", "prepaid"])
def test_a_contract_closed_after_its_last_bill_has_that_bill_replaced(
    home: YearHome, tariff: Tariff
) -> None:
    paid = 5000 * MICRO * (tariff is PREPAID)
    bills = [home.bill(tariff, month, paid) for month in MONTHS[:3]]
    assert f"{bills[2].verified.total:f}" == ("95.00" if tariff is INSTALMENT else "0.00")
    home.utility.contracts.close(home.meter, LAST)
    [contract] = home.utility.contracts.of_meter(home.meter)
    progress = home.utility.contracts.progress(contract, date(2025, 8, 1))
    assert progress.unsettled == MONTHS[2]
    shown = show(home)
    assert "not settled 2025-03-01 to 2025-03-31, billed before the contract was closed" in shown
    again = home.bill(tariff, MONTHS[2], paid)
    assert again.invoice.replaces == bills[2].invoice.number
    assert again.verified.is_last
    memory = None
    for month in MONTHS[:2]:
        memory = home.plain(tariff, month, memory, paid).memory
    plain = home.plain(tariff, MONTHS[2], memory, paid, is_last=True)
    assert f"{again.verified.total:f}" == plain.total
    assert again.verified.total != bills[2].verified.total
    assert "every day is billed" in show(home)
    check_ledger(home)


def show(home: YearHome) -> str:
    folder = str(home.utility.folder)
    told = CliRunner().invoke(
        main, ["utility", "contract", "show", home.meter.hex(), "--utility", folder]
    )
    assert told.exit_code == 0, told.output
    return told.output


def test_a_bill_after_the_last_one_is_refused_until_that_is_replaced(home: YearHome) -> None:
    home.bill(INSTALMENT, MONTHS[0])
    home.utility.contracts.close(home.meter, MONTHS[1].last)
    february = home.bill(INSTALMENT, MONTHS[1])
    home.utility.contracts.close(home.meter, LAST)  # they stay a month longer
    with pytest.raises(BillOutOfOrder, match="2025-02-01 to 2025-02-28 was the last one"):
        ask(home, MONTHS[2])
    # nor does an answer to a question of one's own go on from it
    state = february.verified.state
    assert state is not None
    about = About(home.meter, state.end, MONTHS[2].bounds(ZONE)[1], home.utility.randomness(16))
    own = replace(ask(home, MONTHS[1]), about=about, state=state.encode())
    home.utility.questions.ask(own)
    with pytest.raises(VerificationFailed, match=r"memory: .*bill 2 was the contract's last one"):
        home.utility.verify(own, home.ask(own))
    home.bill(INSTALMENT, MONTHS[1])
    assert not ask(home, MONTHS[1]).is_last
    assert home.bill(INSTALMENT, MONTHS[2]).verified.is_last
    check_ledger(home)


def test_a_last_bill_of_a_contract_that_goes_on_is_not_entered(home: YearHome) -> None:
    home.bill(INSTALMENT, MONTHS[0])
    question = ask(home, MONTHS[1])
    assert not question.is_last
    about = replace(question.about, nonce=home.utility.randomness(16))
    forged = home.utility.questions.ask(replace(question, about=about, is_last=True))
    with pytest.raises(VerificationFailed, match="memory: the contract does not end on 2025-02-28"):
        home.utility.verify(forged, home.ask(forged))
    assert home.bill(INSTALMENT, MONTHS[1]).verified.total == Decimal("95.00")
    check_ledger(home)


def test_a_ledger_with_a_bill_after_the_last_one_is_refused(home: YearHome) -> None:
    for month in MONTHS[:2]:
        home.bill(INSTALMENT, month)
    bills = [entry for entry in home.utility.ledger.entries() if entry.kind == "bill"]
    chains = EnteredChains()
    chains.add(replace(bills[0], content={**bills[0].content, "last": 1}))
    with pytest.raises(VerificationFailed, match="bill before it was the contract's last one"):
        chains.add(bills[1])
    with pytest.raises(VerificationFailed, match="does not say what was verified"):
        check_entry(home.utility, replace(bills[0], content={**bills[0].content, "last": 1}))


def test_what_is_left_of_a_prepaid_credit_is_paid_back(home: YearHome) -> None:
    january = home.bill(PREPAID, MONTHS[0], 900 * MICRO)
    assert january.verified.total == 0
    home.utility.contracts.close(home.meter, MONTHS[1].last)
    last = home.bill(PREPAID, MONTHS[1])
    home.deliver(last)
    memory = home.plain(PREPAID, MONTHS[0], None, 900 * MICRO).memory
    plain = home.plain(PREPAID, MONTHS[1], memory, is_last=True)
    assert f"{last.verified.total:f}" == plain.total
    assert last.verified.total < 0
    checked = check_invoices(home.device, home.enrolment.applet)[-1]
    assert (checked.verdict, checked.reason) == (Verdict.MATCHES, "")
    with pytest.raises(CannotVerify):
        ask(home, MONTHS[2], PREPAID)
    check_ledger(home)
