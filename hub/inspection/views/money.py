# SPDX-License-Identifier: Apache-2.0
"""Money as bills have it: a whole number of a power of ten of the currency's unit."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from tariffs import Bill
from tariffs.bill import BillItem, SlotItem
from tariffs.rounding import Rounding, RoundingRule


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount; rounding is for showing it only."""

    exact: int
    """In 10^-`decimals` of the currency."""
    decimals: int
    currency: str

    @classmethod
    def of_bill(cls, bill: Bill) -> "Money":
        """Return what a bill comes to, before its rounding."""
        return cls(bill.total_exact, bill.exact_decimals, bill.currency)

    @classmethod
    def of_item(cls, bill: Bill, item: BillItem | SlotItem) -> "Money":
        """Return what an item of a bill, or a slot of it, comes to."""
        return cls(item.amount_exact, bill.exact_decimals, bill.currency)

    @classmethod
    def total(cls, amounts: Iterable["Money"]) -> "Money | None":
        """Return the sum; None of no amounts, or where their currencies differ."""
        amounts = list(amounts)
        if len({amount.currency for amount in amounts}) != 1:
            return None
        decimals = max(amount.decimals for amount in amounts)
        exact = sum(amount.scaled(decimals) for amount in amounts)
        return cls(exact, decimals, amounts[0].currency)

    def scaled(self, decimals: int) -> int:
        """Return the amount in 10^-`decimals`, which are no fewer than its own."""
        if decimals < self.decimals:
            raise ValueError("that would round the amount")
        return self.exact * int(10 ** (decimals - self.decimals))

    def minus(self, other: "Money") -> "Money":
        """Return the difference; raise `ValueError` for another currency."""
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} have no difference")
        decimals = max(self.decimals, other.decimals)
        return Money(self.scaled(decimals) - other.scaled(decimals), decimals, self.currency)

    def rounded(self, decimals: int = 2) -> str:
        """Return the amount as `-12.30`, rounded half up: to be shown, not to be reckoned with."""
        if decimals >= self.decimals:
            return f"{self.as_decimal():.{decimals}f}"
        return Rounding(RoundingRule.HALF_UP, decimals).text(self.exact, self.decimals)

    def as_decimal(self) -> Decimal:
        """Return the exact amount in the currency's unit."""
        return Decimal(self.exact).scaleb(-self.decimals)

    @property
    def to_cents(self) -> str:
        """The amount to two decimals, as the JSON outputs show it."""
        return self.rounded()
