# SPDX-License-Identifier: Apache-2.0
"""How an answer becomes a bill: verified, entered and invoiced once, whoever brings it.

    keep the answer -> verify -> one transaction: what it replaces, entry, days, state, invoice

What a bill replaces is read, and its entry and invoice are written, in one transaction that holds
the write lock. So of several processes with the same answer one enters it, and the others return
what that one has entered; two bills for one period stand in order, and one replaces the other.

Errors: VerificationFailed, CannotVerify (entered as refused, once); QuestionClosed, AlreadyBilled
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from applets.billing.messages import BillQuestion
from applets.billing.statement import VerifiedBill
from protocols.canonical.cbor import CborError
from protocols.canonical.signing import key_id_of
from protocols.canonical.stored import decode_row, encode_row
from protocols.metrology import Period
from tariffs import Tariff
from tariffs.invoice import Invoice
from utility_server.database import writing
from utility_server.errors import AlreadyBilled, CannotVerify, StoreError, VerificationFailed
from utility_server.retail.carried_states import CarriedStates, Succession, require_succession
from utility_server.retail.claims import BILL, VerifiedAnswer, bill_correction, check_answer
from utility_server.retail.corrected_bills import BillCorrection
from utility_server.retail.ledger import LEDGER, Content, LedgerEntry
from utility_server.retail.limits import LimitingUtility, require_limits
from utility_server.retail.questions import (
    KeptInvoice,
    KeptQuestion,
    Questions,
    State,
    require_this_answer,
)
from utility_server.retail.verification import BillBundle


class BillingUtility(LimitingUtility, Protocol):
    """Who bills: what is used here of a `Utility`."""

    @property
    def engine(self) -> Engine:
        """The database."""
        ...

    @property
    def questions(self) -> Questions:
        """What was asked for bills, and the invoices."""
        ...

    @property
    def carried_states(self) -> CarriedStates:
        """What bills with memory have left for those after them."""
        ...

    def ends_contract(self, meter: bytes, period: Period) -> bool:
        """Return whether a contract is closed on a period's last day."""
        ...

    def replaced_by(self, meter: bytes, begin: int, end: int) -> LedgerEntry | None:
        """Return the last bill for the period, which a new one replaces; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class BilledPeriod:
    """A bill that was asked for, verified, entered and invoiced."""

    verified: VerifiedBill
    tariff: Tariff
    invoice: Invoice
    document: bytes
    """The signed invoice."""
    entry: LedgerEntry
    bundle: BillBundle
    answer_bytes: int
    correction: BillCorrection | None = None
    """What corrections made of the bill that it replaces."""
    void: Mapping[int, Period] = field(default_factory=dict)
    """The account's later bills, by number, with their days: they went on from one that this bill
    replaces, and have to be asked for again, in order."""


def take_answer(utility: BillingUtility, question: BillQuestion, answer: bytes) -> BilledPeriod:
    """Return the bill that an answer makes, entered now or before.

    Raises `VerificationFailed` or `CannotVerify` where it is wrong, which is entered as refused;
    `QuestionClosed` where no question waits for it; `AlreadyBilled` where a part of the period was
    billed meanwhile.
    """
    enrolment = utility.customers.find(question.about.meter, *BILL.aids)
    kept = utility.questions.answered(question, answer)
    bundle = BILL.bundle.of(
        kept.question.encode(), answer, enrolment, utility.keys.public.public_bytes_raw()
    )
    if not kept.is_open:
        return _billed_before(utility, kept)
    try:
        answered = check_answer(utility, BILL, question, bundle)
        with writing(utility.engine, LEDGER, question.about.meter) as connection:
            now = utility.questions.locked(connection, question)
            require_this_answer(now, sha256(answer).digest())
            if now.is_open:
                return enter_bill(utility, connection, question, answered)
        return _billed_before(utility, now)  # another process was faster
    except AlreadyBilled:
        utility.questions.withdraw(question)
        raise
    except (VerificationFailed, CannotVerify) as error:
        _refuse(utility, question, bundle, error)
        raise


def enter_bill(
    utility: BillingUtility,
    connection: Connection,
    question: BillQuestion,
    answered: VerifiedAnswer[BillQuestion, Tariff, VerifiedBill],
) -> BilledPeriod:
    """Enter a verified bill in a transaction that has its locks: nothing changes meanwhile.

    Raises `VerificationFailed`, `CannotVerify` or `AlreadyBilled` as things are now; what the
    transaction has written of it by then is to be undone.
    """
    bill, bundle, meter = answered.result, answered.bundle, answered.about.meter
    period = Period.filling(bill.begin, bill.end, bundle.zone)
    is_end = utility.ends_contract(meter, period)  # which may have changed since
    if bill.is_last and not is_end:
        raise VerificationFailed(
            "memory", f"the contract does not end on {period.last}: ask for the bill again"
        )
    require_limits(utility, meter, period, bundle.register, bill)
    step, void = _succession(utility, question, bill), _void_after(utility, bill)
    replaced = utility.replaced_by(meter, bill.begin, bill.end)
    replaces = 0 if replaced is None else replaced.sequence
    correction = bill_correction(utility, meter, replaces, bill)
    facts = {} if correction is None else correction.facts
    content = {**BILL.content(answered.about, answered.document, bill), **facts}
    evidence = bundle.encode()
    entry = utility.ledger.append_in(
        connection, utility.now(), BILL.kind, meter, content, evidence, bill.certified, step
    )
    invoice = Invoice(
        number=entry.sequence,
        issued=entry.time,
        meter=entry.meter,
        begin=bill.begin,
        end=bill.end,
        currency=bill.currency,
        total=f"{bill.total:f}",
        missing=len(bill.missing),
        tariff=bill.tariff_digest,
        evidence=sha256(evidence).digest(),
        replaces=replaces,
        difference=None if correction is None else f"{correction.difference:f}",
        corrected=() if correction is None else correction.days,
        **_memory_members(bill),
    )
    document = invoice.sign(utility.keys.signing, key_id_of(utility.keys.public))
    encoded = encode_row([[one, str(days.first), str(days.last)] for one, days in void.items()])
    utility.questions.close(connection, question, bundle.answer, State.ENTERED, entry.sequence)
    utility.questions.keep_invoice(
        connection, question, KeptInvoice(entry.sequence, document, encoded)
    )
    return BilledPeriod(
        bill, answered.document, invoice, document, entry, bundle, len(bundle.answer),
        correction, void,
    )  # fmt: skip


def _refuse(
    utility: BillingUtility, question: BillQuestion, bundle: BillBundle, error: Exception
) -> None:
    """Enter a refused answer, once, and close its question."""
    with writing(utility.engine, LEDGER, question.about.meter) as connection:
        if utility.questions.locked(connection, question).is_open:
            enter_refusal(utility, connection, question, bundle, error)


def enter_refusal(
    utility: BillingUtility,
    connection: Connection,
    question: BillQuestion,
    bundle: BillBundle,
    error: Exception,
) -> int:
    """Enter a refused answer to an open question, and close it; return the entry's number."""
    about = question.about
    facts: Content = {"begin": about.begin, "end": about.end, "why": str(error)}
    entry = utility.ledger.append_in(
        connection, utility.now(), "refused", about.meter, facts, bundle.encode()
    )
    utility.questions.close(connection, question, bundle.answer, State.REFUSED, entry.sequence)
    return entry.sequence


def _billed_before(utility: BillingUtility, kept: KeptQuestion) -> BilledPeriod:
    """Return what came of a question's answer when it was entered."""
    entry = utility.ledger.entry(kept.entry)
    if kept.state is State.REFUSED:
        raise VerificationFailed(
            "question",
            f"entry {entry.sequence} has refused this answer ({entry.content['why']!s}); ask for"
            " the bill again",
        )
    bundle = BILL.bundle.decode(utility.ledger.evidence(entry))
    _, tariff, bill = BILL.verify(bundle, is_stored=True)
    invoice = utility.questions.invoice(kept.question)
    shown = Invoice.verify(invoice.document, utility.keys.public)
    correction = bill_correction(utility, entry.meter, shown.replaces, bill)
    return BilledPeriod(
        bill, tariff, shown, invoice.document, entry, bundle, len(bundle.answer), correction,
        _decode_void(invoice.void),
    )  # fmt: skip


def _decode_void(encoded: bytes) -> dict[int, Period]:
    void = {}
    try:
        for item in decode_row(encoded):
            match item:
                case [int(number), str(first), str(last)]:
                    void[number] = Period.parse(f"{first}..{last}")
                case _:
                    raise StoreError("a kept invoice is not what was written")
    except (CborError, ValueError):
        raise StoreError("a kept invoice is not what was written") from None
    return void


def _succession(
    utility: BillingUtility, question: BillQuestion, bill: VerifiedBill
) -> Succession | None:
    """Return a bill's step from state to state, if it may take it as things are now."""
    before, after = question.carried, bill.state
    if before is None or after is None:
        return None
    account = utility.contracts.of(before.meter, bill.begin, bill.end).account
    if after.account != account:
        raise VerificationFailed("memory", "the state is of another account than the period's")
    step = Succession(bill.begin, before, after)
    require_succession(utility.carried_states.of(before.meter, account), step)
    return step


def _void_after(utility: BillingUtility, bill: VerifiedBill) -> dict[int, Period]:
    """Return the account's bills that come after this one, and went on from one it replaces."""
    if bill.state is None:
        return {}
    meter, number = bill.state.meter, bill.state.number
    chain = utility.carried_states.of(meter, bill.state.account)
    zone = utility.customers.zone(meter)
    return {
        later.state.number: Period.filling(*later.bounds, zone) for later in chain.bills[number:]
    }


def _memory_members(bill: VerifiedBill) -> dict[str, Any]:
    """Return what an invoice says of the state that its bill has left."""
    if bill.state is None:
        return {}
    state = bill.state
    paid = {"paid": bill.paid} if bill.paid else {}
    last = {"last": 1} if bill.is_last else {}
    return {
        "account": state.account, "bill": state.number, "carried": state.digest, **paid, **last,
    }  # fmt: skip
