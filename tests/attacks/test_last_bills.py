# SPDX-License-Identifier: Apache-2.0
"""That a bill is the last of its contract, turned against its parties: dropped, added, gone on.

The whole way through a utility is in `tests/utility_server/retail/test_last_bills.py`.
"""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.common.evidence import AnswerRefused
from protocols.canonical.cbor import CborValue, encode
from protocols.canonical.signing import key_id_of
from protocols.carried import CarriedState
from tariffs import SignatureRefused
from tariffs.invoice import CONTENT_TYPE, Invoice
from tariffs.signing import sign_document
from tariffs.source import load_toml
from tests.support.memory_accounts import Account, ProvedBill, check, fortnights
from tests.support.private_bills import FLAT
from utility_server.errors import BillOutOfOrder, VerificationFailed
from utility_server.retail.carried_states import Chain, StatedBill, Succession, require_succession

STEPS = {
    "instalment": 'kind = "instalment"\nper_month = "95"\ntrue_up = "year"',
    "prepaid": 'kind = "credit"',
    "settled credit": 'kind = "credit"\nsettled = "year"',
    "minimum": 'kind = "minimum"\nper_year = "900"\ncumulative = true',
    "cap": 'kind = "cap"\nper_year = "200"\ncumulative = true',
}
CARRY = '[[charge]]\nname = "n"\nkind = "net"\ncarry = true\nprice = "0.3"\ncredit_price = "0.1"\n'
PARTS = {name: f'[[step]]\nname = "s"\n{text}\n' for name, text in STEPS.items()}
PARTS["surplus"] = CARRY
HOMES = fortnights(2)


def account_of(part: str) -> Account:
    """Return an account that has had one bill."""
    account = Account.of(load_toml(FLAT + PARTS[part]), HOMES[0])
    account.plain(HOMES[0])
    account.go_on(account.prove(HOMES[0]))
    return account


def refused_by(account: Account, bill: ProvedBill, *, is_last: bool) -> str:
    question = replace(bill.question, is_last=is_last)
    with pytest.raises(AnswerRefused) as refused:
        check(account.tariff, bill.home, question, bill.answer.encode())
    return refused.value.check


@pytest.mark.parametrize("part", PARTS)
def test_a_last_bill_shown_for_another_one_is_refused_and_the_other_way_about(part: str) -> None:
    account = account_of(part)
    for is_last in (True, False):
        bill = account.prove(HOMES[1], is_last=is_last)
        verified = account.check(bill)
        assert verified.is_last is is_last
        assert verified.state is not None
        assert (verified.state.values == ()) is is_last
        if is_last:
            assert str(verified.total) == account.plain(HOMES[1], is_last=True).total
        assert refused_by(account, bill, is_last=not is_last) == "proof"


@pytest.mark.parametrize("is_last", [True, False])
def test_where_both_bills_are_the_same_the_proof_still_says_which_it_is(is_last: bool) -> None:
    """On the last day of a year an instalment is settled anyway: total and state are the same."""
    part = PARTS["instalment"] + 'year_begins = "04-22"\n'  # the day after the second fortnight
    account = Account.of(load_toml(FLAT + part), HOMES[0])
    account.go_on(account.prove(HOMES[0]))
    bill, other = (
        account.prove(HOMES[1], is_last=is_last), account.prove(HOMES[1], is_last=not is_last),
    )  # fmt: skip
    assert bill.after == other.after
    assert bill.answer.total == other.answer.total
    assert refused_by(account, bill, is_last=not is_last) == "proof"


@pytest.mark.parametrize("part", PARTS)
def test_a_hub_that_settles_too_early_or_not_at_all_proves_nothing(part: str) -> None:
    account = account_of(part)
    for is_last in (True, False):
        lied = account.prove(HOMES[1], plan=account.plan(HOMES[1], is_last=not is_last))
        question = replace(lied.question, is_last=is_last)
        with pytest.raises(AnswerRefused) as refused:
            check(account.tariff, HOMES[1], question, lied.answer.encode())
        assert refused.value.check == "proof"


def chain_of(*states: CarriedState, last: int) -> Chain:
    begins = [home.bounds[0] for home in HOMES]
    bills = [
        StatedBill(begin, state, number, number == last)
        for number, (begin, state) in enumerate(zip(begins, states, strict=False), start=1)
    ]
    return Chain(HOMES[0].meter, states[0].account, bills)


def test_no_bill_goes_on_from_the_last_one() -> None:
    account = account_of("prepaid")
    first = account.state
    second = account.prove(HOMES[1], is_last=True).after
    begin, end = HOMES[1].bounds
    later = second.following(end + 86_400, [])
    closed = chain_of(first, second, last=2)
    with pytest.raises(VerificationFailed, match="memory: out of order: bill 2 was the contract's"):
        require_succession(closed, Succession(end, second, later))
    for since in (end, end + 86_400):
        with pytest.raises(BillOutOfOrder, match=r"of 2013-04-\d+ to 2013-04-\d+ was the last one"):
            closed.to_go_on_from(since, since + 86_400, HOMES[0].bounds[0], HOMES[0].zone)
    # it may be asked for again, and so may those before: then it is void
    assert closed.to_go_on_from(begin, end, HOMES[0].bounds[0], HOMES[0].zone) == first
    require_succession(closed, Succession(begin, first, second))
    opened = chain_of(first, second, last=0)
    require_succession(opened, Succession(end, second, later))
    assert opened.to_go_on_from(end, end + 86_400, 0, HOMES[0].zone) == second


@pytest.mark.parametrize("value", [0, 2, -1, True, "1", b"\1"])
def test_an_invoice_says_last_in_one_way(value: int | str | bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    invoice = Invoice(
        1, 2, b"SUN", 3, 4, "EUR", "5.00", 0, bytes(32), bytes(32),
        account=bytes(16), bill=3, carried=bytes(32), last=1,
    )  # fmt: skip
    document = invoice.sign(key, key_id_of(key.public_key()))
    assert Invoice.verify(document, key.public_key()) == invoice
    assert invoice.is_last
    members: dict[int | str, CborValue] = {
        "number": 1, "issued": 2, "meter": b"SUN", "begin": 3, "end": 4, "currency": "EUR",
        "total": "5.00", "missing": 0, "tariff": bytes(32), "evidence": bytes(32), "replaces": 0,
    }  # fmt: skip
    memory: dict[int | str, CborValue] = {"account": bytes(16), "bill": 3, "carried": bytes(32)}
    wrong = [members | {"last": 1}]  # of a tariff without memory
    if value is not True:  # which the canonical form does not have
        wrong.append(members | memory | {"last": value})
    for each in wrong:
        signed = sign_document(encode(each), CONTENT_TYPE, key, key_id_of(key.public_key()))
        with pytest.raises(SignatureRefused):
            Invoice.verify(signed, key.public_key())
