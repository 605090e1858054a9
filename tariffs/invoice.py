# SPDX-License-Identifier: Apache-2.0
"""The invoice: what the utility asks for, and on which tariff and evidence it rests.

    invoice = CBOR {"currency", "end", "evidence", "begin", "issued", "meter", "missing", "number",
                    "replaces", "tariff", "total"}                           as COSE_Sign1
    and where readings were corrected since the one that it replaces: "corrected", "difference"

It names the tariff by its digest and the hub's answer by its SHA-256, so that both sides can show
later what was billed and why. `missing` is how many slots could not be billed because their use
is unknown: an invoice with missing slots is provisional. A second invoice for the same period says
which one it replaces: each period is to be paid once. If readings came late or were replaced since,
it says by how much it differs, and how many slots of which days were corrected. What the total was
rounded from, the utility does not know; an invoice of release 0.1 said it too, as "exact" and
"decimals". Under a tariff with memory an invoice also has "account", "bill" and "carried", "paid"
where something was paid in advance, and "last" where the contract ends with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cbor import CborValue, encode
from tariffs._document_reader import TariffReader, decode_document
from tariffs.errors import MalformedTariff, SignatureRefused
from tariffs.rounding import parse_decimal
from tariffs.signing import sign_document, verify_document

MOST_DECIMALS: Final = 9
MOST_EXACT_DECIMALS: Final = 400
"""More than percentages on all components of a tariff take."""
ACCOUNT_SIZE: Final = 16
DIGEST_SIZE: Final = 32
CONTENT_TYPE: Final = "application/meterlet-invoice+cbor"


MOST_CORRECTED_DAYS: Final = 3_660


@dataclass(frozen=True, slots=True)
class CorrectedSlots:
    """How many slots of a day were corrected."""

    day: date
    slots: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """One period's bill, as the utility signs it."""

    number: int
    """The entry of the utility's ledger."""
    issued: int
    meter: bytes
    begin: int
    end: int
    currency: str
    total: str
    """What is to be paid, rounded by the tariff's rule."""
    missing: int
    """Slots that are not billed because their use is unknown."""
    tariff: bytes
    """The tariff's digest."""
    evidence: bytes
    """SHA-256 of what the hub answered."""
    replaces: int = 0
    """The invoice for the same period that is void now; 0: none."""
    exact: int | None = None
    """The total before rounding, in 10^-`decimals` of the currency; of release 0.1 alone."""
    decimals: int | None = None
    account: bytes | None = None
    """The contract that the bill goes on in; of tariffs with memory alone, as are the next."""
    bill: int | None = None
    """How many bills the account has with this one."""
    carried: bytes | None = None
    """The digest of the state that the bill has left for the next one (`protocols.carried`)."""
    paid: int | None = None
    """What was paid in advance since the bill before, in 10^-6 of the currency, if anything."""
    last: int | None = None
    """1 where the contract ends with it, and all is settled; nothing else is said."""
    difference: str | None = None
    """The total less that of the invoice that it replaces, where readings were corrected since."""
    corrected: tuple[CorrectedSlots, ...] = ()
    """The days of which slots were corrected since, in order."""

    def __post_init__(self) -> None:
        if (self.difference is not None) != bool(self.corrected):
            raise ValueError("a difference is told of corrected days, and of no others")
        if self.corrected and not self.replaces:
            raise ValueError("a difference is to an invoice that is replaced")

    @property
    def is_last(self) -> bool:
        """Whether the contract ends with it."""
        return self.last is not None

    def sign(self, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
        """Return the signed document."""
        members: dict[str, CborValue] = {
            one.name: value
            for one in fields(self)
            if one.name != "corrected" and (value := getattr(self, one.name)) is not None
        }
        if self.corrected:
            members["corrected"] = [[one.day.isoformat(), one.slots] for one in self.corrected]
        if self.exact is not None:  # an exact amount need not fit a document's integers of 64 bits
            members["exact"] = str(self.exact)
        return sign_document(encode(members), CONTENT_TYPE, private_key, key_id)

    @classmethod
    def verify(cls, document: bytes, public_key: Ed25519PublicKey) -> Self:
        """Return the invoice that `public_key` signed; raise `SignatureRefused` for other bytes."""
        payload = verify_document(document, CONTENT_TYPE, public_key)
        try:
            members = decode_document(payload)
            fields = TariffReader(members, "invoice")
            is_exact, is_corrected = "exact" in fields, "corrected" in fields
            has_memory = "account" in fields
            is_paid = has_memory and "paid" in fields
            is_last = has_memory and "last" in fields
            invoice = cls(
                number=fields.integer("number"),
                issued=fields.integer("issued"),
                meter=fields.data("meter"),
                begin=fields.integer("begin"),
                end=fields.integer("end"),
                currency=fields.text("currency"),
                total=_amount(fields.text("total")),
                missing=fields.integer("missing"),
                tariff=fields.data("tariff"),
                evidence=fields.data("evidence"),
                replaces=fields.integer("replaces"),
                exact=_integer(fields.text("exact")) if is_exact else None,
                decimals=_decimals(fields.integer("decimals")) if is_exact else None,
                account=fields.data("account", ACCOUNT_SIZE) if has_memory else None,
                bill=_from_one(fields.integer("bill")) if has_memory else None,
                carried=fields.data("carried", DIGEST_SIZE) if has_memory else None,
                paid=_from_one(fields.integer("paid")) if is_paid else None,
                difference=_amount(fields.text("difference")) if is_corrected else None,
                corrected=_corrected(fields.items("corrected")) if is_corrected else (),
                last=_one(fields.integer("last")) if is_last else None,
            )
            fields.done()
        except MalformedTariff as error:
            raise SignatureRefused(f"what was signed is no invoice: {error.reason}") from None
        except ValueError as error:
            raise SignatureRefused(f"what was signed is no invoice: {error}") from None
        return invoice


def _corrected(items: Sequence[CborValue]) -> tuple[CorrectedSlots, ...]:
    """Return days in order, each once, each with a slot or more; raise `MalformedTariff`."""
    days = []
    for item in items:
        match item:
            case [str(day), int(slots)] if slots > 0 and date.fromisoformat(day).isoformat() == day:
                days.append(CorrectedSlots(date.fromisoformat(day), slots))
            case _:
                raise MalformedTariff("a corrected day is a date and how many slots")
    found = [one.day for one in days]
    if not 0 < len(days) <= MOST_CORRECTED_DAYS or sorted(set(found)) != found:
        raise MalformedTariff("corrected days are in order, each once")
    return tuple(days)


def _amount(text: str) -> str:
    parse_decimal(text, MOST_DECIMALS)  # what is reckoned with is short, whoever signed it
    return text


def _decimals(number: int) -> int:
    if not 0 <= number <= MOST_EXACT_DECIMALS:
        raise MalformedTariff(f"an exact amount has 0 to {MOST_EXACT_DECIMALS} decimals")
    return number


def _from_one(number: int) -> int:
    if number < 1:
        raise MalformedTariff("the number of a bill, and what was paid, are from 1")
    return number


def _one(number: int) -> int:
    if number != 1:
        raise MalformedTariff("an invoice that is not a contract's last does not say so")
    return number


def _integer(text: str) -> int:
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 60 and str(int(text)) == text:
        return int(text)
    raise MalformedTariff("the exact amount is not written as a whole number is")
