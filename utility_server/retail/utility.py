# SPDX-License-Identifier: Apache-2.0
"""The utility: its folder, and what it does with a customer's bill.

    utility.db               customers (sealed), ledger, evidence
    keys/signing.key         signs tariffs and invoices
    keys/storage.key         seals the customers' channel keys
    public.pem               the signing key's public half, for customers

ask -> verify -> ledger -> invoice -> deliver. An answer that does not verify is entered in the
ledger as refused, with the answer as evidence, and no invoice is written.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Engine

from applets.billing.messages import AID, BillQuestion
from applets.billing.statement import VerifiedBill
from applets.common.questions import CLA, NONCE_SIZE, About, Instruction
from protocols.canonical.signing import key_id_of
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import GridError, Period
from tariffs import Register, Tariff, TariffError, billed_registers
from tariffs.invoice import Invoice
from tariffs.signing import sign_tariff, verify_signed_tariff
from utility_server.database import open_database
from utility_server.errors import AlreadyBilled, CannotVerify, StoreError, VerificationFailed
from utility_server.folders import new_folder
from utility_server.head_end import Address, HeadEnd
from utility_server.keys import UtilityKeys, public_pem
from utility_server.retail.customers import Customers
from utility_server.retail.ledger import Content, Ledger, LedgerEntry
from utility_server.retail.verification import BillBundle, verify_bill

MOST_ANSWER_BYTES: Final = 65_536
MOST_DOCUMENT_BYTES: Final = 65_000
"""What a question may carry: with it, it has to fit one command of 65,535 bytes."""


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


@dataclass(slots=True)
class Utility:
    """An opened utility; close it when done."""

    folder: Path
    keys: UtilityKeys = field(repr=False)
    engine: Engine
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> Self:
        """Make a utility in an empty or new folder; raise `StoreError` in any other.

        Where it cannot be made, nothing of it stays.
        """
        with new_folder(folder, "a utility"):
            keys = UtilityKeys.create(folder / "keys", randomness)
            (folder / "public.pem").write_bytes(public_pem(keys.public))
            open_database(folder / "utility.db").dispose()
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
        if not (folder / "utility.db").exists():
            raise StoreError(f"{folder}: there is no utility; `meterlet utility init` makes one")
        keys = UtilityKeys.load(folder / "keys")
        return cls(folder, keys, open_database(folder / "utility.db"), now, randomness)

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
    def ledger(self) -> Ledger:
        """What was verified, refused and billed."""
        return Ledger(self.engine)

    def sign(self, tariff: Tariff) -> bytes:
        """Return the tariff as a document that customers' hubs accept."""
        return sign_tariff(tariff, self.keys.signing, key_id_of(self.keys.public))

    def question(self, meter: bytes, period: Period, signed_tariff: bytes) -> BillQuestion:
        """Return a new question for a customer's bill.

        `signed_tariff` must be signed with this utility's key. Raises `CannotVerify` if the
        question makes no sense, `AlreadyBilled` where the period overlaps one that was billed; a
        second bill for just the same period replaces the first.
        """
        enrolment = self.customers.find(meter, AID)
        require_short("the tariff", signed_tariff)
        try:
            begin, end = period.bounds(enrolment.zone)
        except GridError as error:
            raise CannotVerify(f"the period: {error}") from None
        try:
            tariff = verify_signed_tariff(signed_tariff, self.keys.public)
            tariff.require_validity(begin, end)
        except TariffError as error:
            raise CannotVerify(f"the tariff: {error}") from None
        if enrolment.feed_in_register is None and _credits_feed_in(tariff, begin, end):
            raise CannotVerify(
                f"the tariff credits feed-in; meter {meter.hex()} has no register of it"
            )
        self._replaced(meter, begin, end)
        return BillQuestion(About(meter, begin, end, self.randomness(NONCE_SIZE)), signed_tariff)

    def _replaced(self, meter: bytes, begin: int, end: int) -> int:
        """Return the number of the last invoice for the period, 0 if there is none."""
        number = 0
        for entry in self.ledger.bills(meter):
            match entry.content:
                case {"begin": int(first), "end": int(last)} if (first, last) == (begin, end):
                    number = entry.sequence
                case {"begin": int(first), "end": int(last)} if first < end and begin < last:
                    raise AlreadyBilled(
                        f"meter {meter.hex()}: invoice {entry.sequence} bills a part of that period"
                    )
        return number

    def bill(self, question: BillQuestion, head_end: HeadEnd, address: Address) -> BilledPeriod:
        """Ask the hub, verify what it answers, enter it and deliver the invoice.

        Raises `VerificationFailed` or `CannotVerify` (entered as refused, no invoice), or
        `HeadEndError` where there was no answer (nothing is entered).
        """
        billed = self.verify(question, self.ask(question, head_end, address))
        self.deliver(billed, head_end, address)
        return billed

    def ask(self, question: BillQuestion, head_end: HeadEnd, address: Address) -> bytes:
        """Return the hub's answer, unverified; raise `HeadEndError` where there is none."""
        command = CommandApdu(
            CLA, Instruction.ASK, 0, 0, question.encode(), le=MOST_ANSWER_BYTES, extended=True
        )
        return head_end.ask(address, self.customers.find(question.about.meter, AID), command)

    def check(self, entry: LedgerEntry) -> None:
        """Verify an entry's bill again, from its evidence, and that the entry says just that.

        Raises `VerificationFailed` or `CannotVerify`.
        """
        bundle = BillBundle.decode(self.ledger.evidence(entry))
        place = f"entry {entry.sequence}"
        try:
            question, _, verified = verify_bill(bundle, is_stored=True)
        except VerificationFailed as failed:
            raise VerificationFailed(failed.check, f"{place}: {failed.reason}") from None
        if bundle.supplier != self.keys.public.public_bytes_raw():
            raise VerificationFailed("ledger", f"{place}: under another supplier's tariff")
        if bundle.certifier != self.customers.find(entry.meter, AID).certifier:
            raise VerificationFailed("ledger", f"{place}: certified by another key than enrolled")
        said = {name: value for name, value in entry.content.items() if name != "evidence"}
        if question.about.meter != entry.meter or said != _content(verified):
            raise VerificationFailed("ledger", f"{place}: it does not say what was verified")

    def deliver(self, billed: BilledPeriod, head_end: HeadEnd, address: Address) -> None:
        """Hand the invoice to the applet, which keeps it for the resident."""
        command = CommandApdu(CLA, Instruction.DELIVER, 0, 0, billed.document)
        head_end.ask(address, self.customers.find(billed.invoice.meter, AID), command)

    def verify(self, question: BillQuestion, answer: bytes) -> BilledPeriod:
        """Verify an answer and enter what came of it; the invoice is returned, not delivered.

        Raises as `bill` does.
        """
        enrolment = self.customers.find(question.about.meter, AID)
        supplier = self.keys.public.public_bytes_raw()
        bundle = BillBundle.of(question.encode(), answer, enrolment, supplier)
        evidence = bundle.encode()
        now = self.now()
        try:
            _, tariff, verified = verify_bill(bundle)
            bill = verified.bill
            replaces = self._replaced(question.about.meter, bill.begin, bill.end)
            entry = self.ledger.append(
                now, "bill", question.about.meter, _content(verified), evidence, verified.certified
            )
        except (VerificationFailed, CannotVerify) as error:
            facts: Content = {
                "begin": question.about.begin,
                "end": question.about.end,
                "why": str(error),
            }
            self.ledger.append(self.now(), "refused", question.about.meter, facts, evidence)
            raise
        invoice = Invoice(
            number=entry.sequence,
            issued=now,
            meter=question.about.meter,
            begin=bill.begin,
            end=bill.end,
            currency=bill.currency,
            total=bill.total,
            exact=bill.total_exact,
            decimals=bill.exact_decimals,
            missing=len(verified.missing),
            tariff=bill.tariff_digest,
            evidence=sha256(evidence).digest(),
            replaces=replaces,
        )
        document = invoice.sign(self.keys.signing, key_id_of(self.keys.public))
        return BilledPeriod(verified, tariff, invoice, document, entry, bundle, len(answer))


def _credits_feed_in(tariff: Tariff, begin: int, end: int) -> bool:
    try:
        return Register.EXPORT in billed_registers(tariff, begin, end)
    except TariffError:
        return False  # of another time: whoever is asked under it says so


def require_short(name: str, document: bytes) -> None:
    """Raise `CannotVerify` for a document that no question can carry."""
    if len(document) > MOST_DOCUMENT_BYTES:
        raise CannotVerify(
            f"{name} has {len(document):,} bytes; a question carries {MOST_DOCUMENT_BYTES:,}:"
            " use one for a shorter time"
        )


def _content(verified: VerifiedBill) -> Content:
    """Return what the ledger says of a bill."""
    bill = verified.bill
    facts: dict[str, int | str | bytes] = {
        "begin": bill.begin,
        "end": bill.end,
        "currency": bill.currency,
        "total": bill.total,
        "exact": str(bill.total_exact),
        "decimals": bill.exact_decimals,
        "missing": len(verified.missing),
        "tariff": bill.tariff_digest,
    }
    if Register.EXPORT in verified.registers:  # entries of older bills stay what they say
        facts["registers"] = "+".join(verified.registers)
    return facts
