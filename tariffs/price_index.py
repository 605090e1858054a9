# SPDX-License-Identifier: Apache-2.0
"""A price index: what energy was worth on the market, step by step, as grids settle with it.

    document = deterministic CBOR {"format": 1, "series": text, "version": int, "currency": text,
                                   "unit": text, "zone": text, "prices": {...}}

`series` names what is published (`de-lu-day-ahead`), `version` counts its revisions, `unit` is the
one of the publication; the prices themselves are whole numbers of 10^-6 of the currency for a
kilowatt-hour, as in a tariff. Whoever settles signs the document (COSE_Sign1, content type below),
and `digest` names it in statements and proofs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Final

from protocols.canonical.cbor import encode
from tariffs._document_reader import TariffReader, decode_document
from tariffs.clock import ZoneClock
from tariffs.document import check_heading
from tariffs.energy import PriceSeries
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.usage import utc_text

INDEX_CONTENT_TYPE: Final = "application/meterlet-index+cbor"
FORMAT: Final = 1
DIGEST_DOMAIN: Final = b"meterlet/index/digest/1\x00"
MAX_SIZE: Final = 1 << 20
UNIT: Final = re.compile(r"[A-Za-z]{1,3}/[kM]Wh")


@dataclass(frozen=True)
class PriceIndex:
    """A published series of prices."""

    series: str
    version: int
    currency: str
    unit: str
    """In which it is published, `EUR/MWh`; of no consequence for the prices."""
    zone: str
    """Whose local days it is published for."""
    prices: PriceSeries

    def __post_init__(self) -> None:
        check_heading(self.series, self.version, self.currency)
        if not UNIT.fullmatch(self.unit):
            raise MalformedTariff(f"{self.unit!r} is no unit of an index such as EUR/MWh")
        ZoneClock(self.zone)

    @property
    def end(self) -> int:
        """The end of the last step."""
        return self.prices.begin + self.prices.step_seconds * len(self.prices.prices)

    def weights(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot; raise `UnpricedSlot` for one that has none of its own."""
        try:
            return self.prices.prices_of(starts, slot_seconds)
        except UnpricedSlot as error:
            raise error.within(f"index {self.series}") from None

    def between(self, begin: int, end: int) -> "PriceIndex":
        """Return the steps that touch [begin, end), as an index of their own.

        Raises `UnpricedSlot` if it does not reach so far.
        """
        step, first = self.prices.step_seconds, self.prices.begin
        if not first <= begin < end <= self.end:
            start = begin if begin < first else self.end
            raise UnpricedSlot(
                f"index {self.series}: there is no price at {utc_text(start)}", start=start
            )
        low, high = (begin - first) // step, -(-(end - first) // step)
        kept = PriceSeries(first + low * step, step, self.prices.prices[low:high])
        return replace(self, prices=kept)

    def encode(self) -> bytes:
        """Return the document."""
        return encode(
            {
                "format": FORMAT,
                "series": self.series,
                "version": self.version,
                "currency": self.currency,
                "unit": self.unit,
                "zone": self.zone,
                "prices": self.prices.canonical(),
            }
        )

    @classmethod
    def decode(cls, document: bytes) -> "PriceIndex":
        """Return the index that `document` is, in its one form; raise `MalformedTariff`."""
        if len(document) > MAX_SIZE:
            raise MalformedTariff(f"an index has at most {MAX_SIZE} bytes")
        fields = TariffReader(decode_document(document), "index")
        if fields.integer("format") != FORMAT:
            raise MalformedTariff(f"not an index of format {FORMAT}")
        index = cls(
            fields.text("series"),
            fields.integer("version"),
            fields.text("currency"),
            fields.text("unit"),
            fields.text("zone"),
            PriceSeries.from_canonical(fields.value("prices")),
        )
        fields.done()
        if index.encode() != document:
            raise MalformedTariff("the index is not in its canonical form")
        return index

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name this index: SHA-256 over a label and the document."""
        return sha256(DIGEST_DOMAIN + self.encode()).digest()
