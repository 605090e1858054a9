# SPDX-License-Identifier: Apache-2.0
"""What a reader may read: a consent of its own kind, which says it all.

    statement = "reader " OBIS *("," OBIS) " " first "/" last [" live"]

The recipient is the reader's name. `least_minutes` is how finely it may read, `until` the last day
on which it may ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from protocols.metrology import Period
from sml_codec import Obis

STATEMENT: Final = "reader "
_LIVE: Final = "live"


@dataclass(frozen=True, slots=True)
class ReaderScope:
    """Which registers, of which days, and whether what is used right now."""

    registers: tuple[bytes, ...]
    """OBIS codes, each once, at least one."""
    period: Period
    is_live: bool

    @property
    def statement(self) -> str:
        """What the consent is about, and what a request has to match."""
        codes = ",".join(str(Obis(code)) for code in self.registers)
        days = f"{self.period.first}/{self.period.last}"
        return f"{STATEMENT}{codes} {days}" + (f" {_LIVE}" if self.is_live else "")

    @property
    def subject(self) -> str:
        """The statement without its kind."""
        return self.statement.removeprefix(STATEMENT)

    @classmethod
    def of_statement(cls, statement: str) -> Self:
        """Return what a consent's statement says."""
        codes, days, *live = statement.removeprefix(STATEMENT).split(" ")
        period = Period(*map(date.fromisoformat, days.split("/")))
        return cls(tuple(Obis.parse(code).code for code in codes.split(",")), period, bool(live))

    @classmethod
    def of(cls, registers: Sequence[bytes], period: Period, *, is_live: bool) -> Self:
        """Return a scope of registers, each named once."""
        return cls(tuple(dict.fromkeys(registers)), period, is_live)
