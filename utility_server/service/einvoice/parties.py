# SPDX-License-Identifier: Apache-2.0
"""Who sells and who buys: names and addresses, which invoices for the mail or the tax office need.

The seller is said in `seller.toml` in the utility's folder. A customer's name and address are kept
for his contract, sealed with AES-256-GCM under the storage key and bound to the contract. They are
in no entry of the ledger, so that they can be erased while the chain stands.

Errors: ServiceRefused, StoreError
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, delete, insert, select

from protocols.canonical.foreign_text import read_toml
from protocols.canonical.stored import decode_row, encode_row
from utility_server.database import customer_party_table as table
from utility_server.database import reading, writing
from utility_server.errors import ServiceRefused, StoreError

SELLER_FILE: Final = "seller.toml"
LONGEST: Final = 120
_COUNTRY: Final = re.compile("[A-Z]{2}")
_NONCE_SIZE: Final = 12
_LABEL: Final = b"meterlet customer party 1"
_LARGEST: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Party:
    """A name and an address; raises `ServiceRefused` for texts that cannot be one."""

    name: str
    street: str
    postcode: str
    city: str
    country: str
    """ISO 3166-1, two letters."""
    reference: str = ""
    """How the buyer wants to be referred to; empty: not at all."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            is_text = isinstance(value, str) and len(value) <= LONGEST and value.isprintable()
            if not is_text or (not value.strip() and one.name in ("name", "city")):
                raise ServiceRefused(f"{one.name}: 1 to {LONGEST} characters that are shown")
        if not _COUNTRY.fullmatch(self.country):
            raise ServiceRefused("country: two capital letters, as DE")


@dataclass(frozen=True, slots=True)
class Seller:
    """The utility, as invoices name it."""

    party: Party
    vat: str
    """Its VAT identification, as DE123456789."""
    iban: str = ""
    payment_days: int = 14

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return what a utility's folder says; raise `ServiceRefused` where it says nothing.

        name = "Stadtwerke Beispiel"
        street = "Am Werk 1"
        postcode = "12345"
        city = "Beispiel"
        country = "DE"
        vat = "DE123456789"
        iban = "DE02120300000000202051"
        payment_days = 14
        """
        path = folder / SELLER_FILE
        try:
            content = path.read_bytes()
        except OSError:
            raise ServiceRefused(f"who sells is not said: {SELLER_FILE} is missing") from None
        try:
            said: dict[str, Any] = read_toml(content[:_LARGEST].decode())
            vat, iban = str(said.pop("vat", "")), str(said.pop("iban", "")).replace(" ", "")
            days = said.pop("payment_days", 14)
            party = Party(**said)
        except (ValueError, TypeError):
            raise ServiceRefused(f"{SELLER_FILE} is not as it must be") from None
        if not re.fullmatch("[A-Z]{2}[A-Za-z0-9]{2,13}", vat):
            raise ServiceRefused(f"{SELLER_FILE}: vat is no VAT identification")
        if iban and not is_iban(iban):
            raise ServiceRefused(f"{SELLER_FILE}: iban is no IBAN")
        if not isinstance(days, int) or not 0 <= days <= 365:
            raise ServiceRefused(f"{SELLER_FILE}: payment_days is not 0 to 365")
        return cls(party, vat, iban, days)


def is_iban(text: str) -> bool:
    """Tell whether the check digits of an account number are right (ISO 13616)."""
    if not re.fullmatch("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", text):
        return False
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1


@dataclass(frozen=True, slots=True)
class Parties:
    """The customers' names and addresses."""

    engine: Engine
    storage_key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def put(self, account: bytes, party: Party) -> None:
        """Keep the name and address of a contract's customer, in the place of any before."""
        nonce = self.randomness(_NONCE_SIZE)
        plain = encode_row(asdict(party))
        sealed = nonce + AESGCM(self.storage_key).encrypt(nonce, plain, _LABEL + account)
        with writing(self.engine, account) as connection:
            connection.execute(delete(table).where(table.c.account == account))
            connection.execute(insert(table).values(account=account, sealed=sealed))

    def find(self, account: bytes) -> Party | None:
        """Return who a contract's customer is; None where it is not known, or was erased."""
        with reading(self.engine) as connection:
            sealed = connection.execute(
                select(table.c.sealed).where(table.c.account == account)
            ).scalar_one_or_none()
        if sealed is None:
            return None
        data = bytes(sealed)
        try:
            plain = AESGCM(self.storage_key).decrypt(
                data[:_NONCE_SIZE], data[_NONCE_SIZE:], _LABEL + account
            )
        except (InvalidTag, ValueError):
            raise StoreError("a customer's name was sealed with another key, or changed") from None
        return Party(**decode_row(plain))

    def erase(self, account: bytes) -> bool:
        """Forget a customer's name and address; return whether there was one."""
        with writing(self.engine, account) as connection:
            return connection.execute(delete(table).where(table.c.account == account)).rowcount > 0
