# SPDX-License-Identifier: Apache-2.0
"""The utility: its folder, and what it does with a customer's bill.

    utility.db               customers (sealed), ledger, evidence
    database.url             where they are instead, if they are in PostgreSQL
    keys/signing.key         signs tariffs and invoices
    keys/storage.key         seals the customers' channel keys
    public.pem               the signing key's public half, for customers
    published.list           what customers are asked under, for everybody (`retail.published`)
    limits.toml              how much of a bill's period may be unknown
    authorities/             metering authorities, and their lists of revoked certifiers

ask -> verify -> ledger -> invoice -> deliver, and each step is kept (`retail.questions`). An answer
that does not verify is entered in the ledger as refused, with the answer as evidence, and no
invoice is written.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Engine

from applets.billing.messages import BillQuestion
from applets.billing.statement import require_provable
from applets.common.questions import CLA, Instruction
from protocols.aggregation.revocations import RevocationList
from protocols.canonical.signing import key_id_of
from protocols.carried import CarriedState
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import Period, medium_of
from tariffs import PaymentRefused, Register, Tariff, TariffError, billed_registers
from tariffs.signing import sign_document, verify_signed_tariff
from utility_server.database import open_database
from utility_server.errors import CannotVerify, HeadEndError, StoreError, UnknownCustomer
from utility_server.folders import new_folder
from utility_server.head_end import Address, HeadEnd
from utility_server.keys import UtilityKeys, public_pem
from utility_server.locations import keep_location, location_in
from utility_server.retail.billing import BilledPeriod, replaced_bill, take_answer
from utility_server.retail.carried_states import CarriedStates
from utility_server.retail.claim_runs import ClaimItems
from utility_server.retail.claims import BILL, ask, bounds_of, question_of
from utility_server.retail.contracts import Contracts
from utility_server.retail.customers import Customers
from utility_server.retail.failures import Failures
from utility_server.retail.hub_logs import HubLogs
from utility_server.retail.ledger import Ledger, LedgerEntry
from utility_server.retail.limits import BillLimits
from utility_server.retail.published import AskedUnder, Publications
from utility_server.retail.questions import KeptInvoice, Questions, State
from utility_server.retail.standings import Standing, standings
from utility_server.retail.withdrawn_tariffs import require_not_withdrawn
from utility_server.revocations import read_authorities, read_revocations


@dataclass(slots=True)
class Utility:
    """An opened utility; close it when done."""

    folder: Path
    keys: UtilityKeys = field(repr=False)
    engine: Engine
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)
    is_publishing: bool = True
    """Whether what is asked under is put on the public list by itself."""

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        database: URL | None = None,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> Self:
        """Make a utility in an empty or new folder; raise `StoreError` in any other.

        Its tables are in a file there, or in the empty PostgreSQL `database` of this URL. Where it
        cannot be made, nothing of it stays.
        """
        with new_folder(folder, "a utility"):
            keys = UtilityKeys.create(folder / "keys", randomness)
            (folder / "public.pem").write_bytes(public_pem(keys.public))
            if database is not None:
                keep_location(folder, database)
            open_database(database or folder / "utility.db", must_be_new=True).dispose()
            return cls.open(folder, randomness=randomness, now=now)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> Self:
        """Open the utility in `folder`; raise `StoreError` where there is none."""
        location = cls.location(folder)
        keys = UtilityKeys.load(folder / "keys")
        return cls(folder, keys, open_database(location), now, randomness)

    @staticmethod
    def location(folder: Path) -> URL | Path:
        """Return where the tables of the utility in `folder` are; raise as `open` does.

        So that somebody finds out that there is none before anything else is tried.
        """
        location = location_in(folder, "utility.db")
        if location is None:
            raise StoreError(f"{folder}: there is no utility; `meterlet utility init` makes one")
        return location

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def customers(self) -> Customers:
        """The enrolled meters."""
        return Customers(self.engine, self.keys.storage, self.randomness)

    @property
    def contracts(self) -> Contracts:
        """From when to when a meter is which customer's."""
        return Contracts(self.engine, self.customers, self.ledger, self.randomness)

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """The metering authorities whose lists of revocations the utility goes by."""
        return read_authorities(self.folder)

    @property
    def revocations(self) -> tuple[RevocationList, ...]:
        """Their lists of certifiers that count no more."""
        return read_revocations(self.folder, self.authorities)

    @property
    def limits(self) -> BillLimits:
        """How much of a bill's period may be unknown."""
        return BillLimits.read(self.folder)

    @property
    def ledger(self) -> Ledger:
        """What was verified, refused and billed."""
        return Ledger(self.engine)

    @property
    def questions(self) -> Questions:
        """What was asked for bills, how far each question has come, and the invoices."""
        return Questions(self.engine, self.now)

    @property
    def failures(self) -> Failures:
        """Why questions do not go on: what hubs have refused, and which were not reached."""
        return Failures(self.engine, self.now)

    @property
    def claim_items(self) -> ClaimItems:
        """Whom settlements and profiles over many customers ask, and how far each is."""
        return ClaimItems(self.engine, self.now)

    @property
    def publications(self) -> Publications:
        """The list of what customers are asked under."""
        return Publications(self.folder, self.engine, self.keys.signing, self.customers, self.now)

    def publish(self, document: AskedUnder) -> None:
        """Put what a question carries on the public list, unless told not to."""
        if self.is_publishing:
            self.publications.publish(document)

    @property
    def hub_logs(self) -> HubLogs:
        """How far the hubs' disclosure logs have come."""
        return HubLogs(self.engine, self.keys.signing, self.now)

    def head_end(self) -> HeadEnd:
        """Return what asks hubs, and holds each to the log that it has shown."""
        return HeadEnd(self.randomness, heads=self.hub_logs)

    def sign(self, tariff: Tariff) -> bytes:
        """Return the tariff as a document that customers' hubs accept."""
        return self.sign_document(tariff.encode(), BillQuestion.content_type)

    def sign_document(self, payload: bytes, content_type: str) -> bytes:
        """Return a document of this type, signed by the utility."""
        return sign_document(payload, content_type, self.keys.signing, key_id_of(self.keys.public))

    def standings(self, meters: Iterable[bytes]) -> dict[int, Standing]:
        """Return which invoices of some meters stand, and which are void, by number."""
        return standings(self.engine, self.ledger, meters)

    @property
    def carried_states(self) -> CarriedStates:
        """What bills with memory have left for those after them."""
        return CarriedStates(self.engine)

    def question(
        self, meter: bytes, period: Period, signed_tariff: bytes, paid: int | None = None
    ) -> BillQuestion:
        """Return the question for a customer's bill: the open one, or a new one, which is kept.

        `signed_tariff` must be signed with this utility's key; `paid` is what was paid in advance
        since the bill before, in 10^-6 of the currency; None: what was paid with the bill that this
        one replaces, if there is one. Raises `CannotVerify` if the question makes no sense,
        `AlreadyBilled` where the period overlaps one that was billed; a second bill for
        just the same period replaces the first. Raises `TariffWithdrawn` where the tariff was
        withdrawn, unless just this is asked already. Under a tariff with memory it goes on from the
        account's last bill; raises `BillOutOfOrder` where another one has to come first. If the
        contract ends with the period, the bill is its last one, and settles all.
        """
        begin, end = bounds = bounds_of(self, BILL, meter, period)
        try:
            tariff = verify_signed_tariff(signed_tariff, self.keys.public)
        except TariffError as error:
            raise CannotVerify(f"the tariff: {error}") from None
        self._require_medium(tariff, meter)
        self._require_validity(tariff, meter, period)
        if self.customers.find(meter, *BILL.aids).feed_in_register is None and _credits_feed_in(
            tariff, begin, end
        ):
            raise CannotVerify(
                f"the tariff credits feed-in; meter {meter.hex()} has no register of it"
            )
        paid, paid_with = self._paid(paid, self.replaced_by(meter, begin, end))
        slot_seconds = 60 * self.customers.find(meter, *BILL.aids).slot_minutes
        state = self._state_before(tariff, meter, bounds)
        is_last = state is not None and self.ends_contract(meter, period)
        try:
            require_provable(tariff, begin, end, slot_seconds, state, paid, is_last=is_last)
        except PaymentRefused as error:  # the tariff is none to be blamed for what was paid
            raise CannotVerify(f"{paid_with}{error}") from None
        except TariffError as error:
            raise CannotVerify(f"{BILL.unprovable}{error}") from None
        more: dict[str, Any] = {}
        if state is not None:
            more = {"state": state.encode(), "paid": paid, "is_last": is_last}
        question = question_of(self, BILL, meter, bounds, signed_tariff, more)
        if not self.questions.is_open(question):
            require_not_withdrawn(self.engine, tariff.digest)
        self.publish(tariff)
        return self.questions.ask(question)

    def _state_before(
        self, tariff: Tariff, meter: bytes, bounds: tuple[int, int]
    ) -> CarriedState | None:
        """Return what a bill goes on from, None under a tariff without memory."""
        contract = self.contracts.of(meter, *bounds)
        chain, zone = self.carried_states.of(meter, contract.account), self.customers.zone(meter)
        if not tariff.has_memory:
            carried = [] if chain.head is None else [one.name for one in chain.head.values]
            if carried:
                raise CannotVerify(
                    f"the account carries {carried[0]!r}, which a tariff without memory would lose:"
                    " make the new prices a version of the tariff, or begin a new contract"
                )
            return None
        first = None if contract.first is None else Period(contract.first, contract.first)
        opened = bounds[0] if first is None else first.bounds(zone)[0]
        own = [bill for bill in self.ledger.bills(meter) if "account" not in bill.content]
        ends = [end for bill in own if opened < (end := int(bill.content["end"])) <= bounds[0]]
        return chain.to_go_on_from(*bounds, max([opened, *ends]), zone)

    def ends_contract(self, meter: bytes, period: Period) -> bool:
        """Return whether a contract is closed on a period's last day."""
        return self.contracts.covering(meter, period).last == period.last

    def _require_medium(self, tariff: Tariff, meter: bytes) -> None:
        """Raise `CannotVerify` for a tariff of something else than a meter counts."""
        register = self.customers.find(meter, *BILL.aids).register
        if not tariff.medium.is_of(register):
            raise CannotVerify(
                f"the tariff is for {tariff.medium}, meter {meter.hex()} counts"
                f" {medium_of(register)}"
            )

    def _require_validity(self, tariff: Tariff, meter: bytes, period: Period) -> None:
        """Raise `CannotVerify` where a customer's days are not within a tariff's validity."""
        zone = self.customers.zone(meter)
        try:
            tariff.require_validity(*period.bounds(zone))
        except TariffError as error:
            days = (
                f"; the hub's days, {period.first} to {period.last}, are of {zone}: ask under a"
                " tariff of that zone"
            ) * (zone != tariff.zone)
            raise CannotVerify(f"the tariff: {error}{days}") from None

    def _paid(self, paid: int | None, replaced: LedgerEntry | None) -> tuple[int, str]:
        """Return what was paid in advance, and what begins a refusal of it.

        Unless it is said, it is what was paid with the bill that is replaced.
        """
        if paid is not None or replaced is None:
            return paid or 0, ""
        match replaced.content:
            case {"paid": int(kept)}:
                amount = f"{Decimal(kept).scaleb(-6).normalize():f}"
                return kept, (
                    f"{amount} was paid in advance with invoice {replaced.sequence}, and goes with"
                    " the bill unless it is taken back as 0 paid: "
                )
            case _:
                return 0, ""

    def replaced_by(self, meter: bytes, begin: int, end: int) -> LedgerEntry | None:
        """Return the last bill for the period, which a new one replaces; None if there is none.

        Raises `AlreadyBilled` where a part of it is on another bill.
        """
        return replaced_bill(self.ledger.bills(meter), begin, end, self.customers.zone)

    def answer_of(self, question: BillQuestion, head_end: HeadEnd, address: Address) -> bytes:
        """Return the hub's answer, unverified; one that came before is not asked for again.

        It is kept before it is returned. Raises like `claims.ask`, and `QuestionClosed`.
        """
        known = self.questions.answer(question)
        if known is not None:
            return known
        self.questions.asked_at(question, str(address))
        with self._noting(question, State.ASKED):
            answer = ask(self, BILL, question, head_end, address)
        self.questions.answered(question, answer)
        return answer

    @contextmanager
    def _noting(self, question: BillQuestion, state: State) -> Iterator[None]:
        """Keep why a hub does not do what it is asked, for whoever looks how far that is."""
        try:
            yield
        except (HeadEndError, UnknownCustomer) as error:
            with suppress(StoreError):
                self.failures.note(question.about.nonce, state, error)
            raise

    def verify(self, question: BillQuestion, answer: bytes) -> BilledPeriod:
        """Verify an answer and enter what came of it; the invoice is kept, to be delivered.

        The same answer again is entered no second time: what came of it is returned. Raises
        `VerificationFailed` or `CannotVerify` (entered as refused, no invoice), also where the bill
        does not keep to the utility's `limits`; `QuestionClosed` where no question waits for it.
        """
        return take_answer(self, question, answer)

    def deliver(self, billed: BilledPeriod, head_end: HeadEnd, address: Address) -> None:
        """Hand the invoice to the applet, which keeps it for the resident."""
        self.deliver_invoice(BillQuestion.decode(billed.bundle.question), head_end, address)

    def deliver_invoice(
        self, question: BillQuestion, head_end: HeadEnd, address: Address
    ) -> KeptInvoice:
        """Hand a question's kept invoice to the applet; the outbox has it until that is done.

        Cut off in between, it is handed over again: the hub shows the same document once. One that
        another process has delivered meanwhile is left alone.
        """
        invoice = self.questions.invoice(question)
        if self.questions.find(question).state is State.DELIVERED:
            return invoice
        enrolment = self.customers.find(question.about.meter, *BILL.aids)
        with self._noting(question, State.ENTERED):
            head_end.ask(address, enrolment, delivery_of(invoice))
        self.questions.delivered(question)
        return invoice


def delivery_of(invoice: KeptInvoice) -> CommandApdu:
    """Return the command that hands an invoice to the applet, which keeps it for the resident."""
    return CommandApdu(CLA, Instruction.DELIVER, 0, 0, invoice.document)


def _credits_feed_in(tariff: Tariff, begin: int, end: int) -> bool:
    try:
        return Register.EXPORT in billed_registers(tariff, begin, end)
    except TariffError:
        return False  # of another time: whoever is asked under it says so
