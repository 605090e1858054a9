# SPDX-License-Identifier: Apache-2.0
"""The utility's chain of bills with memory, with a real hub: in order, none left out or twice."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner, Result

from applets.billing.messages import BillQuestion
from hub.inspection.views.bill import Verdict, check_invoices
from hub.machine.machine import AppletMachine
from meterlet import verify_chain
from meterlet.commands.inspect.proofs import BillingProofs
from meterlet.commands.main import main
from meterlet.demo.dishonest_hub import LyingMachine
from protocols.enrolment import Enrolment
from protocols.metrology import Period
from tariffs import Bill, Tariff
from tariffs.invoice import Invoice
from tariffs.source import load_toml
from tests.support.entered import check_ledger
from tests.support.pages import browser
from tests.support.postgresql import change
from tests.support.year_home import ZONE, NotTold, YearHome, opened
from utility_server.errors import (
    AlreadyBilled,
    BillOutOfOrder,
    CannotVerify,
    StoreError,
    VerificationFailed,
)
from utility_server.retail.billing import BilledPeriod
from utility_server.retail.carried_states import EnteredChains
from utility_server.retail.claims import BILL, verify
from utility_server.retail.contracts import Cycle
from utility_server.retail.standings import CUT_OFF

pytestmark = pytest.mark.one_database

HEAD = f"""
format = 1
name = "budget"
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
DUTY = """
[[charge]]
name = "duty"
kind = "blocks"
interval = "year"
cumulative = true
block = [{ up_to = "400", price = "0.72" }, { price = "0.008" }]
"""
CREDIT = '[[step]]\nname = "account"\nkind = "credit"\n'
MONTHS = [Period.month(2025, month) for month in range(1, 7)]
MICRO = 10**6
LEFT_FOR_THE_NEXT = {
    "en": "What it leaves for the next bill",
    "de": "Was sie der nächsten Rechnung hinterlässt",
    "fr": "laisse à la facture suivante",
    "it": "Che cosa lascia alla bolletta successiva",
}


def tariff(*components: str) -> Tariff:
    return load_toml(HEAD + "".join(components))


@pytest.fixture
def home(
    tmp_path: Path, half_year_home: tuple[Path, Enrolment], machine: AppletMachine
) -> Iterator[YearHome]:
    folder, enrolment = half_year_home
    shutil.copytree(folder, tmp_path / "home")
    with opened(tmp_path / "home", machine, enrolment) as home:
        yield home


@pytest.mark.parametrize(
    ("components", "carried"),
    [(DUTY, "duty/0/2025-01-01"), (CREDIT, "account/0/-")],
    ids=["duty", "credit"],
)
def test_bills_go_on_from_each_other_to_the_cent(
    home: YearHome, components: str, carried: str, tmp_path: Path
) -> None:
    remembering, memory, last = tariff(components), None, None
    bundles = list[Path]()
    for place, month in enumerate(MONTHS[:3]):
        paid = 90 * MICRO * (place == 1 and components == CREDIT)
        billed = home.bill(remembering, month, paid)
        plain = home.plain(remembering, month, memory, paid)
        assert f"{billed.verified.total:f}" == plain.total
        memory = plain.memory
        state = billed.verified.state
        assert state is not None
        assert state.number == place + 1
        assert [value.name for value in state.values] == [carried]
        assert billed.entry.content["bill"] == place + 1
        assert billed.entry.content["state"] == state.digest
        assert billed.entry.content.get("paid", 0) == paid
        if last is not None:
            assert billed.entry.content["state_before"] == last.digest
        last = state
        invoice = Invoice.verify(billed.document, home.utility.keys.public)
        assert invoice == billed.invoice
        assert (invoice.bill, invoice.carried) == (place + 1, state.digest)
        assert (invoice.paid or 0) == paid
        bundles.append(tmp_path / f"{place}.bundle")
        bundles[-1].write_bytes(billed.bundle.encode())
        check_at_home(home, billed, plain)
    check_page(home, components)
    check_ledger(home)
    [chain] = home.utility.carried_states.of_meter(home.meter)
    assert chain.head == last
    assert chain.account == home.utility.contracts.of(home.meter, *MONTHS[0].bounds(ZONE)).account
    check_offline(bundles, carried)


def check_at_home(home: YearHome, billed: BilledPeriod, plain: Bill) -> None:
    """The resident's own software computes the bill again, shows what it carries, and the proof."""
    home.deliver(billed)
    checked = check_invoices(home.device, home.enrolment.applet)[-1]
    assert (checked.verdict, checked.reason) == (Verdict.MATCHES, "")
    assert checked.bill is not None
    assert checked.bill.memory == plain.memory
    assert plain.memory is not None
    assert [one.value for one in checked.carried] == list(plain.memory.values.values())
    proof = BillingProofs().check(home.device, home.enrolment.applet, billed.invoice)
    assert (proof.verdict, proof.reason) == (Verdict.MATCHES, "")
    inspect = ["inspect", "bill", "--hub", str(home.device.folder)]
    shown = CliRunner().invoke(main, [*inspect, "--json"])
    assert shown.exit_code == 0, shown.output
    facts = json.loads(shown.output)["memory"]
    assert facts["bill"] == billed.invoice.bill
    [carried] = facts["carried"]
    assert carried["value"] == checked.carried[0].value
    text = CliRunner().invoke(main, inspect).output
    assert "it leaves for the next bill, and the supplier is not told:" in text


def check_page(home: YearHome, components: str) -> None:
    """The page says what is carried, in the resident's language."""
    with browser(home.device.folder) as anna:
        for language, heading in LEFT_FOR_THE_NEXT.items():
            anna.post("/language", language=language, next="/bill")
            page = anna.get("/bill").text
            carried = page[page.index(heading) :]
            assert home.utility.carried_states.of_meter(home.meter)[0].account.hex() in carried
            assert ("account" if components == CREDIT else "duty") in carried


def check_offline(bundles: list[Path], carried: str) -> None:
    """Verify bundles one by one and as a chain, through the real command."""
    told = verify_offline(*bundles, "--json")
    assert told.exit_code == 0
    bills = json.loads(told.output)["bills"]
    assert [bill["memory"]["bill"] for bill in bills] == [1, 2, 3]
    assert bills[1]["memory"]["state_before"] == bills[0]["memory"]["state"]
    assert bills[1]["memory"]["carried"] == [carried]
    alone = verify_offline(bundles[1])
    assert alone.exit_code == 0
    assert f"goes on from bill 1, state {bills[0]['memory']['state']}" in alone.output
    assert verify_offline(*bundles[1:]).output.endswith(
        "2 bills, each going on from the one before\n"
    )
    assert len(verify_chain(bundles)) == 3
    for wrong in ([bundles[0], bundles[2]], [bundles[1], bundles[0]], [bundles[0]] * 2):
        refused = verify_offline(*wrong)
        assert (refused.exit_code, str(refused.exception)) != (0, "None")
        assert "differs at the check of the memory" in refused.output
        with pytest.raises(VerificationFailed, match="memory: bundle 2 is bill"):
            verify_chain(wrong)


def verify_offline(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["bill", "verify", *map(str, arguments)])


def ask(home: YearHome, period: Period, components: str = DUTY) -> BillQuestion:
    return home.utility.question(home.meter, period, home.utility.sign(tariff(components)), 0)


def test_a_bill_out_of_order_or_with_days_left_out_is_not_asked_for(home: YearHome) -> None:
    home.utility.contracts.open(home.meter, date(2025, 1, 1))
    for period in (MONTHS[1], Period(date(2025, 1, 2), date(2025, 1, 31))):
        with pytest.raises(BillOutOfOrder, match="2025-01-01 to .* is not billed yet"):
            ask(home, period)
    home.bill(tariff(DUTY), MONTHS[0])
    with pytest.raises(BillOutOfOrder, match="2025-02-01 to 2025-02-28 is not billed yet"):
        ask(home, MONTHS[2])
    with pytest.raises(AlreadyBilled):
        ask(home, Period(date(2025, 1, 20), date(2025, 2, 28)))
    with pytest.raises(CannotVerify, match="a tariff without memory would lose"):
        ask(home, MONTHS[1], "")
    with pytest.raises(CannotVerify, match=r"^the tariff has no credit: what is paid goes with"):
        home.utility.question(home.meter, MONTHS[1], home.utility.sign(tariff(DUTY)), MICRO)
    with pytest.raises(CannotVerify, match="duty/0/2025-01-01"):  # of another tariff's component
        ask(home, MONTHS[1], CREDIT)
    assert ask(home, MONTHS[1]).carried == home.utility.carried_states.of_meter(home.meter)[0].head
    check_ledger(home)


def test_what_was_paid_stays_with_the_period_unless_it_is_said_anew(home: YearHome) -> None:
    """Asked for again, and again after a bill before it: nothing that was paid is lost."""

    def billed(period: Period, paid: int | None = None) -> BilledPeriod:
        signed = home.utility.sign(tariff(CREDIT))
        question = home.utility.question(home.meter, period, signed, paid)
        return home.utility.verify(question, home.ask(question))

    home.utility.contracts.open(home.meter, date(2025, 1, 1))
    assert billed(MONTHS[0]).verified.paid == 0
    february = billed(MONTHS[1], 90 * MICRO)
    again = billed(MONTHS[1])
    assert (again.verified.paid, again.invoice.paid) == (90 * MICRO, 90 * MICRO)
    assert again.verified.total == february.verified.total
    assert billed(MONTHS[0], 5 * MICRO).void == {2: MONTHS[1]}
    assert billed(MONTHS[1]).verified.paid == 90 * MICRO  # its bill was void meanwhile
    with pytest.raises(CannotVerify, match=r"^5 was paid in advance with invoice 4, .* no credit"):
        home.utility.question(home.meter, MONTHS[0], home.utility.sign(tariff(DUTY)))
    for paid in (0, None):  # taken back, and it stays so
        assert billed(MONTHS[1], paid).invoice.paid is None
    assert billed(MONTHS[2]).verified.paid == 0  # what was paid is of one period
    check_ledger(home)


def test_a_hub_that_has_gone_on_from_a_state_says_a_code_and_the_words_hold(
    home: YearHome,
) -> None:
    home.utility.contracts.open(home.meter, date(2025, 1, 1))
    home.bill(tariff(DUTY), MONTHS[0])
    home.ask(ask(home, MONTHS[1]))  # its answer is lost
    longer = Period(MONTHS[1].first, MONTHS[2].last)
    with pytest.raises(NotTold, match="6985 .*the state was gone on from before") as refused:
        home.bill(tariff(DUTY), longer)
    assert "another period" in refused.value.why  # which the resident reads
    assert home.bill(tariff(DUTY), MONTHS[1]).verified.total > 0


def test_bills_of_before_without_memory_come_before_the_account_s_first_with_one(
    home: YearHome,
) -> None:
    home.bill(tariff(), MONTHS[0])
    with pytest.raises(BillOutOfOrder, match="2025-02-01 to 2025-02-28 is not billed yet"):
        home.utility.contracts.open(home.meter, date(2025, 1, 1))
        ask(home, MONTHS[2])
    home.bill(tariff(DUTY), MONTHS[1])
    home.bill(tariff(DUTY), MONTHS[2])
    check_ledger(home)


def test_a_corrected_bill_goes_on_from_the_same_state_and_those_after_are_asked_anew(
    home: YearHome,
) -> None:
    first = [home.bill(tariff(DUTY), month) for month in MONTHS[:3]]
    again = home.bill(tariff(DUTY), MONTHS[2])
    assert (again.invoice.replaces, again.void) == (first[2].invoice.number, {})
    assert again.verified.state is not None
    assert first[1].verified.state is not None
    assert again.verified.state.previous == first[1].verified.state.digest
    second = home.bill(tariff(DUTY), MONTHS[1])
    assert (second.invoice.replaces, second.void) == (
        first[1].invoice.number, {3: MONTHS[2]},
    )  # fmt: skip
    [contract] = home.utility.contracts.of_meter(home.meter)
    progress = home.utility.contracts.progress(contract, date(2025, 5, 20))
    assert (progress.billed, progress.void) == (tuple(MONTHS[:2]), (MONTHS[2],))
    standings = home.utility.standings([home.meter])
    assert {number: one.why_void for number, one in standings.items() if one.is_void} == {
        first[1].invoice.number: f"replaced by invoice {second.invoice.number}",
        first[2].invoice.number: f"replaced by invoice {again.invoice.number}",
        again.invoice.number: CUT_OFF,
    }
    assert progress.unbilled == (Period(date(2025, 4, 1), date(2025, 5, 19)),)
    assert progress.due(Cycle.QUARTER, date(2025, 1, 1)) == MONTHS[2]  # before anything else
    [chain] = home.utility.carried_states.of_meter(home.meter)
    assert [bill.entry for bill in chain.bills] == [
        first[0].invoice.number, second.invoice.number,
    ]  # fmt: skip
    with pytest.raises(BillOutOfOrder, match="2025-03-01 to 2025-03-31 is not billed yet"):
        ask(home, MONTHS[3])
    third = home.bill(tariff(DUTY), MONTHS[2])
    assert third.invoice.replaces == again.invoice.number
    progress = home.utility.contracts.progress(contract, date(2025, 5, 20))
    assert (progress.billed, progress.void) == (tuple(MONTHS[:3]), ())
    assert progress.due(Cycle.MONTH, date(2025, 1, 1)) == MONTHS[3]
    home.bill(tariff(DUTY), MONTHS[3])
    check_ledger(home)


def refused_as(home: YearHome, question: BillQuestion, answer: bytes) -> str:
    """Return why an answer is refused, by the name `memory`, which the ledger says, too."""
    before = len(list(home.utility.ledger.entries()))
    with pytest.raises(VerificationFailed) as refused:
        home.utility.verify(question, answer)
    assert refused.value.check == "memory"
    entry = list(home.utility.ledger.entries())[before]
    assert entry.kind == "refused"
    assert str(entry.content["why"]).startswith("memory: ")
    return refused.value.reason


def test_a_state_that_was_used_or_passed_over_is_refused_by_name(home: YearHome) -> None:
    opening = ask(home, MONTHS[0])
    home.bill(tariff(DUTY), MONTHS[0])
    early = ask(home, MONTHS[1])
    early_answer = home.ask(early)
    february = home.bill(tariff(DUTY), MONTHS[1])  # by the same question, which was open
    assert home.utility.verify(early, early_answer) == february
    after = ask(home, MONTHS[2])
    after_answer = home.ask(after)
    again = ask(home, MONTHS[1])
    again_answer = home.ask(again)
    home.bill(tariff(DUTY), MONTHS[0])  # corrected: what February has left is void
    assert "out of order: bill 2" in refused_as(home, after, after_answer)
    assert "not the state that bill 1" in refused_as(home, again, again_answer)
    with pytest.raises(VerificationFailed, match="^memory: .*carries none"):
        verify(home.utility, BILL, replace(opening, state=b""), home.ask(opening))
    check_ledger(home)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("state", "proof"),  # a value changed after it was committed to
        ("other-state", "memory"),  # another state named than the proof leaves
        ("reading", "proof"),
        ("drop-day", "chain"),
        ("replay", "message"),
    ],
)
def test_a_hub_that_lies_about_a_bill_with_memory_is_refused_by_name(
    home: YearHome, machine: AppletMachine, kind: str, check: str
) -> None:
    home.card = home.device.card(cast("AppletMachine", LyingMachine(machine, "none", home.device)))
    home.bill(tariff(DUTY), MONTHS[0])
    liar = cast("AppletMachine", LyingMachine(machine, kind, home.device))
    home.card = home.device.card(liar)
    if kind == "replay":
        question = ask(home, MONTHS[1])
        home.ask(question)  # recorded
        home.utility.questions.withdraw(question)  # or the very same one is asked again
    with pytest.raises(VerificationFailed) as refused:
        home.bill(tariff(DUTY), MONTHS[1])
    assert refused.value.check == check
    [entry] = [one for one in home.utility.ledger.entries() if one.kind == "refused"]
    assert str(entry.content["why"]).startswith(f"{check}: ")
    check_ledger(home)


def test_the_ledger_is_held_to_its_chain_of_states(home: YearHome) -> None:
    for month in MONTHS[:2]:
        home.bill(tariff(DUTY), month)
    entries = list(home.utility.ledger.entries())
    chains = EnteredChains()
    bills = [entry for entry in entries if entry.kind == "bill"]
    with pytest.raises(VerificationFailed, match="a bill before it is left out"):
        chains.add(bills[1])
    chains.add(bills[0])
    changed = {**bills[1].content, "state_before": bytes(32)}
    with pytest.raises(VerificationFailed, match="does not go on from"):
        chains.add(replace(bills[1], content=changed))
    with pytest.raises(VerificationFailed, match="kept states are not those"):
        chains.require(home.utility.carried_states)
    chains.add(bills[1])
    chains.require(home.utility.carried_states)
    change(home.utility.engine, "UPDATE carried_state SET number = 7 WHERE number = 2")
    with pytest.raises(StoreError, match="no chain"):
        chains.require(home.utility.carried_states)
