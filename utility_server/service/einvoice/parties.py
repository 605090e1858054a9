# SPDX-License-Identifier: Apache-2.0
"""Who sells and who buys: names and addresses, which invoices for the mail or the tax office need.

The seller is said in `seller.toml` in the utility's folder. A customer's name and address are kept
for his contract, sealed with AES-256-GCM under the storage key and bound to the contract. They are
in no entry of the ledger, so that they can be erased while the chain stands. By name they are found
through an index of MACs (`name_index`), which is erased with them.

Errors: ServiceRefused, StoreError
"""

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, delete, exists, insert, select

from protocols.canonical.foreign_text import read_toml
from protocols.canonical.stored import decode_row, encode_row
from utility_server.database import customer_party_table as table
from utility_server.database import name_token_table, reading, writing
from utility_server.errors import ServiceRefused, StoreError
from utility_server.service.einvoice.name_index import MOST_CANDIDATES, NameIndex, is_like

SELLER_FILE: Final = "seller.toml"
LONGEST: Final = 120
_COUNTRY: Final = re.compile("[A-Z]{2}")
_NONCE_SIZE: Final = 12
_LABEL: Final = b"meterlet customer party 1"
_INDEX_LABEL: Final = b"meterlet customer name index 1"
_LARGEST: Final = 1 << 14
_AT_ONCE: Final = 500


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


class NameUnreadable(StoreError):
    """A sealed name that does not open."""


@dataclass(frozen=True, slots=True)
class Parties:
    """The customers' names and addresses."""

    engine: Engine
    storage_key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    @property
    def index(self) -> NameIndex:
        """By what they are found."""
        key = hmac.new(self.storage_key, _INDEX_LABEL, sha256).digest()
        return NameIndex(self.engine, key)

    def put(
        self,
        account: bytes,
        meter: bytes,
        party: Party,
        require: Callable[[], object] = lambda: None,
    ) -> None:
        """Keep the name and address of a contract's customer, in the place of any before.

        `require` raises where there is no such contract. It is asked in the transaction: what is
        dropped meanwhile gets no name, which nobody could erase.
        """
        nonce = self.randomness(_NONCE_SIZE)
        plain = encode_row(asdict(party))
        sealed = nonce + AESGCM(self.storage_key).encrypt(nonce, plain, _LABEL + account)
        with writing(self.engine, account) as connection:
            require()
            connection.execute(delete(table).where(table.c.account == account))
            connection.execute(insert(table).values(account=account, sealed=sealed))
            self.index.put(connection, account, meter, (party.name, party.reference))

    def find(self, account: bytes) -> Party | None:
        """Return who a contract's customer is; None where it is not known, or was erased."""
        sealed = self._sealed([account]).get(account)
        return None if sealed is None else self._opened(account, sealed)

    def _sealed(self, accounts: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return who the customers of contracts are, sealed, as far as it is known."""
        query = select(table.c.account, table.c.sealed).where(table.c.account.in_(accounts))
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return {bytes(row.account): bytes(row.sealed) for row in rows}

    def _opened(self, account: bytes, data: bytes) -> Party:
        try:
            plain = AESGCM(self.storage_key).decrypt(
                data[:_NONCE_SIZE], data[_NONCE_SIZE:], _LABEL + account
            )
        except (InvalidTag, ValueError):
            raise NameUnreadable(
                "a customer's name was sealed with another key, or changed"
            ) from None
        return Party(**decode_row(plain))

    def named(self, words: Sequence[str], limit: int) -> tuple[list["NamedParty"], bool]:
        """Return the customers that have these words, or words that begin so, in name or reference.

        Those that have them as they are come first. And whether there may be more: `limit` are
        returned at most, and `MOST_CANDIDATES` names of each kind opened.
        """
        found, more = dict[bytes, NamedParty](), False
        for is_whole in (True, False):
            candidates = self.index.candidates(words, is_whole=is_whole)
            more = more or len(candidates) > MOST_CANDIDATES
            for one in self._open_some(candidates[:MOST_CANDIDATES]):
                texts = (one.party.name, one.party.reference)
                if one.account in found or not is_like(words, texts, is_whole=is_whole):
                    continue
                if len(found) == limit:
                    return list(found.values()), True
                found[one.account] = NamedParty(one.account, one.meter, one.party, is_whole)
        return list(found.values()), more

    def _open_some(self, candidates: Sequence[tuple[bytes, bytes]]) -> Iterator["NamedParty"]:
        """Yield whom accounts and meters are of, opening no more than are looked at, or a few.

        A name that does not open hides no other: the customer's page says that it does not.
        """
        few = 50
        for first in range(0, len(candidates), few):
            some = dict(candidates[first : first + few])
            sealed = self._sealed(list(some))
            for account in (one for one in some if one in sealed):
                try:
                    party = self._opened(account, sealed[account])
                except NameUnreadable:
                    continue
                yield NamedParty(account, some[account], party, is_exact=False)

    def erase(self, account: bytes) -> bool:
        """Forget a customer's name and address; return whether there was one."""
        with writing(self.engine, account) as connection:
            return self._erase(connection, account)

    def _erase(self, connection: Connection, account: bytes) -> bool:
        # In one transaction: an erased name is found by nothing, from that moment on.
        self.index.erase(connection, account)
        return connection.execute(delete(table).where(table.c.account == account)).rowcount > 0

    def index_all(self, meter_of: Callable[[bytes], bytes | None]) -> int:
        """Let names be found that were kept before there was an index; return how many.

        `meter_of` says which meter an account is of. Names of contracts that are gone are erased.
        One that cannot be opened is left as it is: whoever looks at it is told, and nobody else.
        """
        known = name_token_table.c.account
        query = select(table.c.account).where(~exists().where(known == table.c.account))
        query = query.order_by(table.c.account).limit(_AT_ONCE)
        count, at = 0, b""
        while True:
            with reading(self.engine) as connection:
                accounts = connection.execute(query.where(table.c.account > at)).scalars().all()
            for account in map(bytes, accounts):
                with writing(self.engine, account) as connection:
                    meter = meter_of(account)
                    if meter is None:  # dropped, by a version that left the name
                        self._erase(connection, account)
                        continue
                    with suppress(NameUnreadable):  # the service starts, whatever one name is like
                        if (party := self.find(account)) is not None:
                            texts = (party.name, party.reference)
                            self.index.put(connection, account, meter, texts)
                            count += 1
            if len(accounts) < _AT_ONCE:
                return count
            at = bytes(accounts[-1])


@dataclass(frozen=True, slots=True)
class NamedParty:
    """Who was found by name."""

    account: bytes
    meter: bytes
    party: Party
    is_exact: bool
    """Whether the name has the words as they are, and not only such that begin so."""
