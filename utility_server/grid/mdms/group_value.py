# SPDX-License-Identifier: Apache-2.0
"""What a group's use of a period was worth at an index: the one number of a round with prices."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from protocols.aggregation import RegionSum, Round, Terms
from protocols.canonical.stored import decode_row, encode_row
from utility_server.errors import StoreError
from utility_server.grid.mdms.aggregates import check_region

INDEX_SIZE: Final = 32


@dataclass(frozen=True, slots=True, order=True)
class WorthPlace:
    """Where a worth belongs; its row is bound to it."""

    region: str
    begin: int
    end: int
    index: bytes
    """The digest of the index."""

    def __post_init__(self) -> None:
        check_region(self.region)
        if self.begin >= self.end or len(self.index) != INDEX_SIZE:
            raise StoreError("a worth is of a period, at an index")

    @classmethod
    def of(cls, terms: Terms) -> Self:
        """Return where what a round with prices opens is stored."""
        assert terms.weighting is not None
        return cls(terms.region, *terms.bounds, terms.weighting.index)

    @property
    def parts(self) -> tuple[str, int, int, str]:
        """Return what the sealed row is bound to."""
        return self.region, self.begin, self.end, self.index.hex()


@dataclass(frozen=True, slots=True)
class Worth:
    """One round's number, opened and verified."""

    place: WorthPlace
    series: str
    revision: int
    currency: str
    value: int
    """Σ price·use of all homes together, in 10^-9 of the currency."""
    homes: int
    missing: int
    """How many of their slots had no reading and count as 0."""
    left_out: tuple[bytes, ...]
    """The meters that were asked and are not in it: it is provisional as long as there are any."""
    round: bytes

    def __post_init__(self) -> None:
        if self.homes < 1 or self.missing < 0:
            raise StoreError("a worth of no homes")

    @classmethod
    def of(cls, announced: Round, opened: RegionSum, asked: Iterable[bytes]) -> Self:
        """Return what a round with prices has opened; `asked` are the meters it was to be of."""
        terms = announced.terms
        weighting, [value] = terms.weighting, opened.values
        assert weighting is not None
        return cls(
            WorthPlace.of(terms),
            weighting.series,
            weighting.revision,
            weighting.currency,
            value,
            len(opened.meters),
            opened.missing_slots,
            tuple(sorted(set(asked) - set(opened.meters))),
            announced.digest,
        )

    def encode(self) -> bytes:
        """Return what is sealed of it; its place is bound, not repeated."""
        members = [
            self.series,
            self.revision,
            self.currency,
            self.value,
            self.homes,
            self.missing,
            list(self.left_out),
            self.round,
        ]
        return encode_row(members)

    @classmethod
    def decode(cls, place: WorthPlace, data: bytes) -> Self:
        """Return the worth that was sealed at `place`; raise `StoreError` otherwise."""
        match decode_row(data):
            case [
                str(series), int(revision), str(currency), int(value), int(homes), int(missing),
                list(left), bytes(identification),
            ] if all(isinstance(meter, bytes) for meter in left):  # fmt: skip
                return cls(
                    place, series, revision, currency, value, homes, missing, tuple(left),
                    identification,
                )  # fmt: skip
            case _:
                raise StoreError(f"{place.region}: not a worth that this program writes")
