# SPDX-License-Identifier: Apache-2.0
"""How an answer becomes a bill: verified, entered and invoiced once, whoever brings it.

    keep the answer -> verify -> one transaction: what it replaces, entry, days, state, invoice

What a bill replaces is read, and its entry and invoice are written, in one transaction that holds
the locks of the ledger and the meter. So of several processes with the same answer one enters it,
and the others return what that one has entered; two bills for one period stand in order, and one
replaces the other. Many are entered by the same rules as one, in one transaction.

Errors: VerificationFailed, CannotVerify (entered as refused, once); QuestionClosed, AlreadyBilled
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol, TypeAlias

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
from utility_server.retail.batches import Outcome
from utility_server.retail.carried_states import Succession, require_succession
from utility_server.retail.claims import BILL, VerifiedAnswer, bill_correction, check_answer
from utility_server.retail.contracts import Contract, covering
from utility_server.retail.corrected_bills import BillCorrection
from utility_server.retail.ledger import LEDGER, Appending, Content, LedgerEntry
from utility_server.retail.limits import BillLimits, LimitingUtility, require_limits
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
    outcome: Outcome[BillQuestion, Tariff, VerifiedBill]
    try:
        outcome = check_answer(utility, BILL, question, bundle)
    except (VerificationFailed, CannotVerify) as error:
        outcome = error
    with writing(utility.engine, LEDGER, question.about.meter) as connection:
        now = utility.questions.locked(connection, question)
        came = None
        if now.is_open:
            [came] = enter_outcomes(utility, connection, [(question, bundle, outcome)])
    if isinstance(came, BilledPeriod):
        return came
    if came is not None:
        raise came.error
    if isinstance(outcome, Exception):
        raise outcome  # another process was faster, and has entered what it said
    require_this_answer(now, sha256(answer).digest())
    return _billed_before(utility, now)


@dataclass(frozen=True, slots=True)
class NotBilled:
    """An answer that has made no bill."""

    error: VerificationFailed | CannotVerify | AlreadyBilled
    """Why it is refused; or that a part of its period was billed meanwhile, and it is withdrawn."""
    entry: int
    """The number of its entry as refused; 0 where it was withdrawn."""


CheckedAnswer: TypeAlias = tuple[
    BillQuestion, BillBundle, Outcome[BillQuestion, Tariff, VerifiedBill]
]
"""A question, its answer with what it rests on, and what it proves."""


def enter_outcomes(
    utility: BillingUtility, connection: Connection, checked: Sequence[CheckedAnswer]
) -> list[BilledPeriod | NotBilled]:
    """Enter what answers prove, or that they do not, in order; return what came of each.

    Their questions are answered and not entered yet, as `connection` has seen: a transaction that
    has the locks of the ledger and of all their meters, so that nothing changes meanwhile. All that
    rules look at is read once for all meters, and all is written together.
    """
    came = list[BilledPeriod | NotBilled]()
    for together in _of_different_meters(checked):
        came += _enter_together(utility, connection, together)
    return came


def _of_different_meters(checked: Sequence[CheckedAnswer]) -> Iterator[list[CheckedAnswer]]:
    """Yield answers in their order, so many that no two of them are of one meter.

    What a meter's bill goes on from is its last one, which has to be in the database for that.
    """
    together, meters = list[CheckedAnswer](), set[bytes]()
    for one in checked:
        meter = one[0].about.meter
        if meter in meters:
            yield together
            together, meters = [], set()
        together.append(one)
        meters.add(meter)
    if together:
        yield together


@dataclass(frozen=True, slots=True)
class _KnownMeters:
    """What bills of some meters are held against, read at once for all of them."""

    limits: BillLimits
    contracts: Mapping[bytes, Sequence[Contract]]
    entries: Mapping[bytes, Sequence[LedgerEntry]]
    zones: Mapping[bytes, str]
    """Of the meters whose bills have memory."""


def _enter_together(
    utility: BillingUtility, connection: Connection, checked: Sequence[CheckedAnswer]
) -> list[BilledPeriod | NotBilled]:
    """Enter answers of different meters."""
    right = [(one, right) for one, _, right in checked if isinstance(right, VerifiedAnswer)]
    meters = [question.about.meter for question, _ in right]
    states = [
        state
        for question, answered in right
        for state in (question.carried, answered.result.state)
        if state is not None
    ]
    known = _KnownMeters(
        utility.limits,
        utility.contracts.of_meters(meters) if meters else {},
        utility.ledger.of_meters(meters) if meters else {},
        utility.customers.zones({state.meter for state in states}) if states else {},
    )
    days = [day for _, answered in right for day in answered.result.certified]
    accounts = {(state.meter, state.account) for state in states}
    appending = Appending.begin(connection, days, accounts)
    came = list[BilledPeriod | NotBilled]()
    for question, bundle, outcome in checked:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            with appending.all_or_nothing():
                came.append(_enter_bill(utility, appending, known, question, outcome))
        except AlreadyBilled as error:
            utility.questions.give_up(appending.writes, question)
            came.append(NotBilled(error, 0))
        except (VerificationFailed, CannotVerify) as error:
            number = _enter_refusal(utility, appending, question, bundle, error)
            came.append(NotBilled(error, number))
    appending.write(connection)
    return came


def _enter_bill(
    utility: BillingUtility,
    appending: Appending,
    known: _KnownMeters,
    question: BillQuestion,
    answered: VerifiedAnswer[BillQuestion, Tariff, VerifiedBill],
) -> BilledPeriod:
    """Enter a verified bill.

    Raises `VerificationFailed`, `CannotVerify` or `AlreadyBilled` as things are now; what it has
    appended by then is to be taken back.
    """
    bill, bundle, meter = answered.result, answered.bundle, answered.about.meter
    period = Period.filling(bill.begin, bill.end, bundle.zone)
    contract = covering(known.contracts[meter], period)
    is_end = contract.last == period.last  # which may have changed since
    if bill.is_last and not is_end:
        raise VerificationFailed(
            "memory", f"the contract does not end on {period.last}: ask for the bill again"
        )
    entries = known.entries[meter]
    require_limits(known.limits, entries, period, bundle.register, bill)
    step, void = _succession(appending, known, question, bill), _void_after(appending, known, bill)
    replaced = replaced_bill(entries, bill.begin, bill.end, utility.customers.zone)
    replaces = 0 if replaced is None else replaced.sequence
    correction = bill_correction(utility, meter, replaces, bill)
    facts = {} if correction is None else correction.facts
    content = {**BILL.content(answered.about, answered.document, bill), **facts}
    evidence = bundle.encode()
    entry = appending.append(
        utility.now(), BILL.kind, meter, content, evidence, bill.certified, step
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
    writes, number = appending.writes, entry.sequence
    utility.questions.close(writes, question, bundle.answer, State.ENTERED, number)
    utility.questions.keep_invoice(writes, question, KeptInvoice(number, document, encoded))
    return BilledPeriod(
        bill, answered.document, invoice, document, entry, bundle, len(bundle.answer),
        correction, void,
    )  # fmt: skip


def _enter_refusal(
    utility: BillingUtility,
    appending: Appending,
    question: BillQuestion,
    bundle: BillBundle,
    error: Exception,
) -> int:
    """Enter a refused answer, and close its question; return the entry's number."""
    about = question.about
    facts: Content = {"begin": about.begin, "end": about.end, "why": str(error)}
    evidence = bundle.encode()
    entry = appending.append(utility.now(), "refused", about.meter, facts, evidence)
    utility.questions.close(
        appending.writes, question, bundle.answer, State.REFUSED, entry.sequence
    )
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


def replaced_bill(
    entries: Sequence[LedgerEntry], begin: int, end: int, zone_of: Callable[[bytes], str]
) -> LedgerEntry | None:
    """Return the last of a meter's bills for the period, which a new one replaces; None for none.

    Raises `AlreadyBilled` where a part of it is on another bill.
    """
    found = None
    for entry in entries:
        if entry.kind != BILL.kind:
            continue
        match entry.content:
            case {"begin": int(first), "end": int(last)} if (first, last) == (begin, end):
                found = entry
            case {"begin": int(first), "end": int(last)} if first < end and begin < last:
                days = Period.filling(first, last, zone_of(entry.meter))
                raise AlreadyBilled(
                    f"meter {entry.meter.hex()}: invoice {entry.sequence} bills a part of that"
                    f" period, {days.first} to {days.last}: ask for just these days, and the"
                    " new bill replaces it, or for days that no bill has"
                )
    return found


def _succession(
    appending: Appending, known: _KnownMeters, question: BillQuestion, bill: VerifiedBill
) -> Succession | None:
    """Return a bill's step from state to state, if it may take it as things are now."""
    before, after = question.carried, bill.state
    if before is None or after is None:
        return None
    period = Period.touching(bill.begin, bill.end, known.zones[before.meter])
    account = covering(known.contracts[before.meter], period).account
    if after.account != account:
        raise VerificationFailed("memory", "the state is of another account than the period's")
    step = Succession(bill.begin, before, after)
    require_succession(appending.chains[before.meter, account], step)
    return step


def _void_after(appending: Appending, known: _KnownMeters, bill: VerifiedBill) -> dict[int, Period]:
    """Return the account's bills that come after this one, and went on from one it replaces."""
    if bill.state is None:
        return {}
    meter, number = bill.state.meter, bill.state.number
    chain, zone = appending.chains[meter, bill.state.account], known.zones[meter]
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
