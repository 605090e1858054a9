# SPDX-License-Identifier: Apache-2.0
"""Settlement of groups: what a supplier's customers used together, at the grid's prices.

Only the sum over the customers has been opened, slot by slot, by private aggregation (the MDMS
verifies it against what their certifiers signed); what it was worth follows in the open and is the
number that settling each customer would add up to. No customer's own part is known to anyone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from tariffs import PriceIndex
from utility_server.errors import CannotVerify

__all__ = ["Group", "worth_of"]

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
            facts = json.loads(data)
        except (ValueError, RecursionError):
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


def _are_whole(values: Sequence[object], below: int) -> bool:
    return all(type(value) is int and 0 <= value < below for value in values)
