# SPDX-License-Identifier: Apache-2.0
"""Prices that a round weighs uses with: each household then contributes one number, not a curve.

    w = Σ price[t]·use[t]                                  exact, in 10^-9 of the currency
    v = w - low            low  = Σ min(price[t], 0)·most    what is contributed: never negative
    0 <= v <= high - low   high = Σ max(price[t], 0)·most    most = 2^value_bits - 1
    Σ w = Σ v + n·low                                      over n households

Prices are whole numbers of 10^-6 of the currency for a kilowatt-hour, as a price index has them, in
the order of the values that the round's resolution makes. `low` is public: it follows from the
prices and from the bound on a use. So the room that v needs is known before anybody contributes;
where it is more than a slot of `packing` has, there is no such round.

    weighting = CBOR [label, digest of the index, series, revision, currency, prices]
    prices    = 4 bytes each, big-endian, signed
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, Self

from protocols.aggregation._wire import (
    DIGEST_SIZE,
    decode_message,
    encode_message,
    require_size,
)
from protocols.aggregation.errors import MalformedMessage, PackingRefused, RoundRefused

PRICE_SIZE: Final = 4
PRICE_LIMIT: Final = 1 << 31
"""Some 2,147 of the currency for a kilowatt-hour."""
NAME_SIZES: Final = range(1, 65)
CURRENCY_SIZE: Final = 3
REVISION_LIMIT: Final = 1 << 32

_WEIGHTING: Final = "meterlet aggregation weighting 1"


@dataclass(frozen=True, slots=True)
class Weighting:
    """The prices of a round, and what index they are of."""

    index: bytes
    """The digest of the index's document, by which it is named; the prices are what counts."""
    series: str
    revision: int
    currency: str
    prices: tuple[int, ...] = field(repr=False)
    """Of each value, in 10^-6 of the currency for a kilowatt-hour."""

    def __post_init__(self) -> None:
        require_size("index", self.index, DIGEST_SIZE)
        if len(self.series.encode()) not in NAME_SIZES or not self.series.isprintable():
            raise MalformedMessage("a series has a name of 1 to 64 printable bytes")
        if not 0 < self.revision < REVISION_LIMIT:
            raise MalformedMessage(f"a revision of {self.revision}")
        code = self.currency
        if not (
            len(code) == CURRENCY_SIZE and code.isascii() and code.isalpha() and code.isupper()
        ):
            raise MalformedMessage("a currency has three capital letters")
        if not self.prices or any(not -PRICE_LIMIT <= p < PRICE_LIMIT for p in self.prices):
            raise MalformedMessage("no prices, or one that does not fit 4 bytes")

    @property
    def name(self) -> str:
        """The series and its revision."""
        return f"{self.series} revision {self.revision}"

    def low(self, value_bits: int) -> int:
        """Return what no household's number is below, if its uses are below 2^value_bits."""
        return sum(price for price in self.prices if price < 0) * ((1 << value_bits) - 1)

    def bits(self, value_bits: int) -> int:
        """Return how many bits hold any household's number, less `low`."""
        widest = sum(map(abs, self.prices)) * ((1 << value_bits) - 1)
        return max(1, widest.bit_length())

    def lifted(self, uses: Sequence[int], value_bits: int) -> int:
        """Return Σ price·use less `low`, what a household of these uses contributes.

        Raises `PackingRefused` for a use of more bits, `RoundRefused` if there is not one use for
        each price.
        """
        if len(uses) != len(self.prices):
            raise RoundRefused(f"{len(uses)} values, but {len(self.prices)} prices")
        for place, use in enumerate(uses):
            if not 0 <= use < 1 << value_bits:
                raise PackingRefused(f"value {place} does not fit {value_bits} bits")
        worth = sum(price * use for price, use in zip(self.prices, uses, strict=True))
        return worth - self.low(value_bits)

    def encode(self) -> bytes:
        """Return the message."""
        prices = Struct(f">{len(self.prices)}i").pack(*self.prices)
        return encode_message(
            _WEIGHTING, self.index, self.series, self.revision, self.currency, prices
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the weighting; raise `MalformedMessage` if it is none."""
        match decode_message(data, _WEIGHTING):
            case [bytes(index), str(series), int(revision), str(currency), bytes(packed)] if (
                len(packed) % PRICE_SIZE == 0
            ):
                prices = Struct(f">{len(packed) // PRICE_SIZE}i").unpack(packed)
                return cls(index, series, revision, currency, prices)
            case _:
                raise MalformedMessage("not a weighting")
