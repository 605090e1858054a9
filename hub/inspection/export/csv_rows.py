# SPDX-License-Identifier: Apache-2.0
"""Views as rows of text: what CSV files hold, and the tables behind charts."""

from collections.abc import Iterable, Iterator
from typing import Final

from hub.description import Description
from hub.inspection.views.live import FineUse
from hub.inspection.views.money import Money
from hub.inspection.views.readings import ReadingsView
from hub.text import local_text, utc_text
from protocols.canonical.day_zone import wall_zone

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")

ENERGY: Final = "energy_wh"
VOLUME: Final = "volume_l"
"""In the place of energy, where the meter counts litres."""
READINGS_HEADER: Final = (
    "start_utc",
    "end_utc",
    "start_local",
    "end_local",
    ENERGY,
    "measured",
    "estimated",
    "substituted",
    "missing",
    "band",
    "energy_cost",
    "cost",
    "currency",
)
FEED_IN: Final = "feed_in_wh"
"""The last column, where the meter counts what is fed in."""


def readings_rows(view: ReadingsView) -> Iterator[tuple[str, ...]]:
    """Yield a header and a row for each bucket; amounts are exact, what is unknown is empty.

    A bucket with several bands names each with its watt-hours, `F1 120; F2 80`. Of a meter that
    counts litres the column of amounts is `volume_l`.
    """
    zone = view.clock
    header = tuple(
        VOLUME if n == ENERGY and view.medium.counts_volume else n for n in READINGS_HEADER
    )
    yield (*header, FEED_IN) if view.feeds_in else header
    for bucket in view.buckets:
        states, money = bucket.states, bucket.cost or bucket.energy_cost
        bands = [f"{use.band} {use.energy_wh}" for use in bucket.bands]
        yield (
            utc_text(bucket.begin),
            utc_text(bucket.end),
            local_text(bucket.begin, zone),
            local_text(bucket.end, zone),
            _whole(bucket.energy_wh),
            *map(str, (states.measured, states.estimated, states.substituted, states.missing)),
            harmless(bucket.bands[0].band if len(bands) == 1 else "; ".join(bands)),
            _exact(bucket.energy_cost),
            _exact(bucket.cost),
            "" if money is None else money.currency,
            *([_whole(bucket.fed_in_wh)] if view.feeds_in else []),
        )


def fine_rows(uses: Iterable[FineUse], about: Description) -> Iterator[tuple[str, ...]]:
    """Yield a header and a row for each stretch between two readings; what is unknown is empty.

    Of a meter that counts litres the columns are `volume_l` and `litres_per_hour`.
    """
    zone, is_volume = wall_zone(about.zone), about.medium.counts_volume
    amounts = (VOLUME, "litres_per_hour") if is_volume else (ENERGY, "watts")
    yield ("start_utc", "end_utc", "start_local", *amounts, "state")
    for use in uses:
        state = "missing" if use.energy_wh is None else "suspect" if use.is_suspect else "read"
        yield (
            utc_text(use.begin),
            utc_text(use.end),
            local_text(use.begin, zone),
            _whole(use.energy_wh),
            _whole(use.watts),
            state,
        )


def harmless(cell: str) -> str:
    """Return a stranger's words as a spreadsheet takes for text, never for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)


def _exact(money: Money | None) -> str:
    return "" if money is None else f"{money.as_decimal().normalize():f}"
