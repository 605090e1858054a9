# SPDX-License-Identifier: Apache-2.0
"""The tariffs the resident knows side by side: a column for each version, a row for each price."""

from dataclasses import dataclass
from datetime import date, timedelta

from hub.inspection.views.documents import TariffBook
from tariffs.clock import date_of
from tariffs.describe import Row, charge_rows, step_row
from tariffs.version import Version


@dataclass(frozen=True, slots=True)
class TariffColumn:
    """A version of a tariff."""

    name: str
    revision: int
    digest: str
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class PriceRow:
    """What one charge or step asks in one band, in words."""

    component: str
    band: str
    when: str
    """When or on what it holds."""
    prices: tuple[str, ...]
    """One for each column; empty where the version does not have it."""
    changes: bool
    """Whether two versions differ in it."""


@dataclass(frozen=True, slots=True)
class TariffTable:
    """Versions side by side."""

    columns: tuple[TariffColumn, ...]
    rows: tuple[PriceRow, ...]


def tariff_table(book: TariffBook) -> TariffTable:
    """Return all versions of all tariffs in a book, in order of time."""
    versions = sorted(
        ((version, tariff) for tariff in book.tariffs for version in tariff.versions),
        key=lambda pair: (pair[0].valid_from, pair[1].revision),
    )
    columns = [
        TariffColumn(
            tariff.name,
            tariff.revision,
            tariff.digest.hex(),
            date_of(version.valid_from),
            date_of(version.valid_until) - timedelta(days=1),
        )
        for version, tariff in versions
    ]
    cells: dict[tuple[str, str, str], list[str]] = {}
    for number, (version, tariff) in enumerate(versions):
        for component, (band, price, when) in _rows(version, tariff.currency, tariff.medium.unit):
            row = cells.setdefault((component, band, when), [""] * len(versions))
            row[number] = price
    return TariffTable(
        tuple(columns),
        tuple(
            PriceRow(component, band, when, tuple(prices), len(set(prices)) > 1)
            for (component, band, when), prices in cells.items()
        ),
    )


def _rows(version: Version, currency: str, unit: str) -> list[tuple[str, Row]]:
    charges = [
        (charge.name, row)
        for charge in version.charges
        for row in charge_rows(charge, currency, unit)
    ]
    return charges + [(step.name, step_row(step, currency, unit)) for step in version.steps]
