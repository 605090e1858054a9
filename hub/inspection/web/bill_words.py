# SPDX-License-Identifier: Apache-2.0
"""A bill's items as lines of text, in the reader's language, to a hundredth of a cent."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from hub.inspection.views.money import Money
from hub.inspection.web.wording import Wording
from tariffs import Bill
from tariffs.bill import BillItem

PPM_DECIMALS: Final = 4
SHOWN_DECIMALS: Final = 4
RATE_UNITS: Final = {"Wh": "kWh", "W": "kW"}


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of a bill."""

    what: str
    span: str
    quantity: str
    rate: str
    amount: str


def bill_lines(words: Wording, bill: Bill) -> list[BillLine]:
    """Return a bill's items, in its order."""
    return [
        BillLine(
            f"{item.component} {item.label}".strip(),
            words.span(item.begin, item.end),
            _quantity(words, item),
            _rate(words, item, bill.currency),
            words.money(
                Money(item.amount_exact, bill.exact_decimals, bill.currency), SHOWN_DECIMALS
            ),
        )
        for item in bill.items
    ]


def _quantity(words: Wording, item: BillItem) -> str:
    quantity, unit = item.quantity, item.unit
    if quantity is None:
        return ""
    if unit == "Wh":
        return words.energy(quantity)
    if unit == "W":
        return words.power(quantity)
    return words.n(f"unit.{unit}", quantity) if unit else words.number(quantity)


def _rate(words: Wording, item: BillItem, currency: str) -> str:
    if item.rate is None:
        return ""
    if item.kind in ("tax", "rebate"):
        percent = Decimal(item.rate).scaleb(-PPM_DECIMALS).normalize()
        return f"{words.number(percent, max(0, -int(percent.as_tuple().exponent)))} %"
    unit = RATE_UNITS.get(item.unit, item.unit)
    name = unit if unit in RATE_UNITS.values() or not unit else words.t(f"per.{unit}")
    price = words.rate(item.rate, currency)
    return f"{price}/{name}" if name else price
