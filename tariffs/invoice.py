# SPDX-License-Identifier: Apache-2.0
"""The invoice: what the utility asks for, and on which tariff and evidence it rests.

    invoice = CBOR {"currency", "decimals", "end", "evidence", "exact", "begin", "issued", "meter",
                    "missing", "number", "replaces", "tariff", "total"}      as COSE_Sign1

It names the tariff by its digest and the hub's answer by its SHA-256, so that both sides can show
later what was billed and why. `missing` is how many slots could not be billed because their use
is unknown: an invoice with missing slots is provisional. A second invoice for the same period says
which one it replaces: each period is to be paid once.
"""

from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tariffs import _canonical
from tariffs.errors import MalformedTariff, SignatureRefused
from tariffs.signing import sign_document, verify_document

__all__ = ["Invoice"]

CONTENT_TYPE: Final = "application/meterlet-invoice+cbor"
_MEMBERS: Final = frozenset(
    {
        "begin",
        "currency",
        "decimals",
        "end",
        "evidence",
        "exact",
        "issued",
        "meter",
        "missing",
        "number",
        "replaces",
        "tariff",
        "total",
    }
)


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
    exact: int
    """The same before rounding, in 10^-`decimals` of the currency."""
    decimals: int
    missing: int
    """Slots that are not billed because their use is unknown."""
    tariff: bytes
    """The tariff's digest."""
    evidence: bytes
    """SHA-256 of what the hub answered."""
    replaces: int = 0
    """The invoice for the same period that is void now; 0: none."""

    def sign(self, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
        """Return the signed document."""
        members: dict[int | str, _canonical.Value] = {
            name: getattr(self, name) for name in sorted(_MEMBERS)
        }
        # As text: an exact amount need not fit the 64 bits of the document's integers.
        members["exact"] = str(self.exact)
        payload = _canonical.encode(members)
        return sign_document(payload, CONTENT_TYPE, private_key, key_id)

    @classmethod
    def verify(cls, document: bytes, public_key: Ed25519PublicKey) -> Self:
        """Return the invoice that `public_key` signed; raise `SignatureRefused` for other bytes."""
        payload = verify_document(document, CONTENT_TYPE, public_key)
        try:
            members = _canonical.decode(payload)
        except MalformedTariff as error:
            raise SignatureRefused(f"what was signed is no invoice: {error.reason}") from None
        if not isinstance(members, dict) or set(members) != _MEMBERS:
            raise SignatureRefused("what was signed is no invoice")
        match members:
            case {
                "number": int(number),
                "issued": int(issued),
                "meter": bytes(meter),
                "begin": int(begin),
                "end": int(end),
                "currency": str(currency),
                "total": str(total),
                "exact": str(exact),
                "decimals": int(decimals),
                "missing": int(missing),
                "tariff": bytes(tariff),
                "evidence": bytes(evidence),
                "replaces": int(replaces),
            } if str(_integer(exact)) == exact:
                return cls(
                    number=number,
                    issued=issued,
                    meter=meter,
                    begin=begin,
                    end=end,
                    currency=currency,
                    total=total,
                    exact=int(exact),
                    decimals=decimals,
                    missing=missing,
                    tariff=tariff,
                    evidence=evidence,
                    replaces=replaces,
                )
            case _:
                raise SignatureRefused("what was signed is no invoice")


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 60 else None
