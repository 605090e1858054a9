# SPDX-License-Identifier: Apache-2.0
"""Settlement of groups: what a supplier's customers used together, at the grid's prices.

Only a sum over the customers is opened, by private aggregation (the MDMS verifies it against what
their certifiers signed); no customer's own part is known to anyone. There are two ways to the
number that settling each customer would add up to:

    weighting_of   a round that carries the prices opens just that number (docs/settlement.md)
    worth_of       a round without prices opens the group's load curve, and it follows in the open
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.weighting import Weighting
from protocols.canonical.foreign_text import ForeignTextRefused, read_json
from protocols.metrology import SLOT_MINUTES, GridError, Period
from tariffs import PriceIndex, TariffError
from utility_server.errors import CannotVerify

SCHEMA: Final = "meterlet.utility.aggregate/1"
MOST_VALUES: Final = 1 << 20
LARGEST_SUM_WH: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Group:
    """What a group of customers used in each slot, as `meterlet utility aggregate --json` says."""

    region: str
    starts: tuple[int, ...]
    slot_seconds: int
    sums_wh: tuple[int, ...]
    homes: int
    missing: int
    """Slots of all homes together that are missing, and counted as 0."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the group that a file holds; raise `CannotVerify` for anything else.

        A sum that was not verified is refused.
        """
        try:
            facts = read_json(data)
        except ForeignTextRefused:
            raise CannotVerify("not JSON") from None
        match facts:
            case {
                "schema": str(schema),
                "verified": True,
                "region": str(region),
                "resolution_minutes": int(minutes),
                "homes": int(homes),
                "missing_home_slots": int(missing),
                "starts": list(starts),
                "sums_wh": list(sums),
            } if (
                schema == SCHEMA
                and minutes in (5, 15, 30, 60)
                and _are_whole(starts, 1 << 32)
                and _are_whole(sums, LARGEST_SUM_WH)
                and _are_whole([homes, missing], 1 << 40)
                and 0 < len(starts) == len(sums) <= MOST_VALUES
                and starts == sorted(set(starts))
            ):
                return cls(region, tuple(starts), 60 * minutes, tuple(sums), homes, missing)
            case {"schema": str(schema), "verified": False} if schema == SCHEMA:
                raise CannotVerify("the sum was not verified")
            case _:
                raise CannotVerify(f"not a {SCHEMA!r} object with sums of slots")


def worth_of(group: Group, index: PriceIndex) -> int:
    """Return Σ price·sum in 10^-9 of the currency; raise `UnpricedSlot` where there is no price."""
    weights = index.weights(group.starts, group.slot_seconds)
    return sum(weight * wh for weight, wh in zip(weights, group.sums_wh, strict=True))


def resolution_of(index: PriceIndex) -> int:
    """Return the minutes of a slot that has one price: the index's step, or an hour if less."""
    step = index.prices.step_seconds // 60
    return max(
        (minutes for minutes in SLOT_MINUTES if step % minutes == 0), default=SLOT_MINUTES[0]
    )


def weighting_of(
    index: PriceIndex, period: Period, zone: str, resolution_minutes: int
) -> Weighting:
    """Return what a round about a period weighs uses with at an index.

    Raises `CannotVerify` where the index has not just one price for each slot.
    """
    step = 60 * resolution_minutes
    try:
        grids = list(period.grids(zone, SLOT_MINUTES[0]))
        starts = [start for grid in grids for start in range(grid.begin, grid.end, step)]
        part = index.between(*period.bounds(zone))
        prices = tuple(part.weights(starts, step))
        return Weighting(part.digest, part.series, part.version, part.currency, prices)
    except (GridError, TariffError, MalformedMessage) as error:
        raise CannotVerify(f"the period: {error}") from None


def _are_whole(values: Sequence[object], below: int) -> bool:
    return all(type(value) is int and 0 <= value < below for value in values)
