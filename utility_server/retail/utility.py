# SPDX-License-Identifier: Apache-2.0
"""The utility: its folder, and what it does with a customer's bill.

    utility.db               customers (sealed), ledger, evidence
    keys/signing.key         signs tariffs and invoices
    keys/storage.key         seals the customers' channel keys
    public.pem               the signing key's public half, for customers
    published.list           what customers are asked under, for everybody (`retail.published`)
    limits.toml              how much of a bill's period may be unknown
    authorities/             metering authorities, and their lists of revoked certifiers

ask -> verify -> ledger -> invoice -> deliver. An answer that does not verify is entered in the
ledger as refused, with the answer as evidence, and no invoice is written.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from applets.billing.messages import AID, BillQuestion
from applets.billing.statement import VerifiedBill
from applets.common.questions import CLA, Instruction
from protocols.aggregation.revocations import RevocationList
from protocols.canonical.signing import key_id_of
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import Period
from tariffs import Register, Tariff, TariffError, billed_registers
from tariffs.invoice import Invoice
from tariffs.signing import sign_document, verify_signed_tariff
from utility_server.database import open_database
from utility_server.errors import AlreadyBilled, CannotVerify, StoreError
from utility_server.folders import new_folder
from utility_server.head_end import Address, HeadEnd
from utility_server.keys import UtilityKeys, public_pem
from utility_server.retail.claims import (
    BILL,
    bill_correction,
    bounds_of,
    enter,
    question_of,
    refusals_entered,
    verify,
)
from utility_server.retail.corrected_bills import BillCorrection
from utility_server.retail.customers import Customers
from utility_server.retail.hub_logs import HubLogs
from utility_server.retail.ledger import Ledger, LedgerEntry
from utility_server.retail.limits import BillLimits, require_limits
from utility_server.retail.published import AskedUnder, Publications
from utility_server.retail.verification import BillBundle
from utility_server.revocations import read_authorities, read_revocations


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

    def question(self, meter: bytes, period: Period, signed_tariff: bytes) -> BillQuestion:
        """Return a new question for a customer's bill.

        `signed_tariff` must be signed with this utility's key. Raises `CannotVerify` if the
        question makes no sense, `AlreadyBilled` where the period overlaps one that was billed; a
        second bill for just the same period replaces the first.
        """
        begin, end = bounds = bounds_of(self, BILL, meter, period)
        try:
            tariff = verify_signed_tariff(signed_tariff, self.keys.public)
            tariff.require_validity(begin, end)
        except TariffError as error:
            raise CannotVerify(f"the tariff: {error}") from None
        if self.customers.find(meter, AID).feed_in_register is None and _credits_feed_in(
            tariff, begin, end
        ):
            raise CannotVerify(
                f"the tariff credits feed-in; meter {meter.hex()} has no register of it"
            )
        self._replaced(meter, begin, end)
        question = question_of(self, BILL, meter, bounds, signed_tariff)
        self.publish(tariff)
        return question

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

    def deliver(self, billed: BilledPeriod, head_end: HeadEnd, address: Address) -> None:
        """Hand the invoice to the applet, which keeps it for the resident."""
        command = CommandApdu(CLA, Instruction.DELIVER, 0, 0, billed.document)
        head_end.ask(address, self.customers.find(billed.invoice.meter, AID), command)

    def verify(self, question: BillQuestion, answer: bytes) -> BilledPeriod:
        """Verify an answer and enter what came of it; the invoice is returned, not delivered.

        Raises `VerificationFailed` or `CannotVerify` (entered as refused, no invoice), also where
        the bill does not keep to the utility's `limits`.
        """
        answered = verify(self, BILL, question, answer)
        bill = answered.result
        with refusals_entered(self, answered.about, answered.bundle):
            about, bundle = answered.about, answered.bundle
            period = Period.filling(about.begin, about.end, bundle.zone)
            require_limits(self, about.meter, period, bundle.register, bill)
        replaces = self._replaced(answered.about.meter, bill.begin, bill.end)
        with refusals_entered(self, answered.about, answered.bundle):
            correction = bill_correction(self, answered.about.meter, replaces, bill)
        added = {} if correction is None else correction.facts
        entry = enter(self, answered, bill.certified, **added)
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
            evidence=sha256(answered.bundle.encode()).digest(),
            replaces=replaces,
            difference="" if correction is None else f"{correction.difference:f}",
            corrected=() if correction is None else correction.days,
        )
        document = invoice.sign(self.keys.signing, key_id_of(self.keys.public))
        return BilledPeriod(
            bill, answered.document, invoice, document, entry, answered.bundle, len(answer),
            correction,
        )  # fmt: skip


def _credits_feed_in(tariff: Tariff, begin: int, end: int) -> bool:
    try:
        return Register.EXPORT in billed_registers(tariff, begin, end)
    except TariffError:
        return False  # of another time: whoever is asked under it says so
