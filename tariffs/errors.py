# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a tariff, its document or what is to be billed under it.

TariffError
  MalformedTariff      source or document is not a tariff: a hole, an overlap, an unknown key, ...
  UnpricedSlot         a slot outside the validity, or across bands of different prices
  UnbillableReadings   the readings handed in do not form slots
  MemoryRefused        what is carried from the bill before is not what this bill goes on from
    PaymentRefused     something was paid in advance where the tariff takes nothing
  SignatureRefused     a signed document is malformed or its signature is wrong
"""

from typing import Self


class TariffError(Exception):
    """Base of all errors of this package: one line that names the place."""

    def __init__(
        self,
        reason: str,
        *,
        source: str | None = None,
        line: int | None = None,
        component: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.source = source
        self.line = line
        self.component = component

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.source and self.line else self.source
        return ": ".join(part for part in (place, self.component, self.reason) if part)

    def within(self, component: str) -> Self:
        """Return the error, its component prefixed by the one that encloses it."""
        inner = self.component
        self.component = f"{component}, {inner}" if inner else component
        return self

    def located(self, source: str, line: int) -> Self:
        """Return the error with file and line, unless a closer place is known already."""
        if self.line is None:
            self.source, self.line = source, line
        return self


class MalformedTariff(TariffError):
    """Source or document is not a tariff."""


class UnpricedSlot(TariffError):
    """A slot has no price of its own."""

    def __init__(self, reason: str, *, start: int, component: str | None = None) -> None:
        super().__init__(reason, component=component)
        self.start = start


class UnbillableReadings(TariffError):
    """What is to be billed does not form slots of one grid."""


class MemoryRefused(TariffError):
    """What is carried from the bill before does not fit the bill, or the bill what is carried."""


class PaymentRefused(MemoryRefused):
    """Something was paid in advance under a tariff that takes nothing in advance."""


class SignatureRefused(TariffError):
    """A signed document is malformed, or not signed by the key it should be."""
