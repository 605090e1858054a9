# SPDX-License-Identifier: Apache-2.0
"""Months of a home's use, and its bills one after another: what the tests of memory share."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tariffs import Bill, BillMemory, Tariff, compute_bill
from tariffs.source import load_toml

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "tariffs"


@dataclass(frozen=True)
class MonthOfUse:
    """A local month's slots, and what was drawn and fed in."""

    zone: str
    first: date
    after: date
    seconds: int
    starts: Sequence[int]
    drawn: Sequence[int]
    fed: Sequence[int]

    @property
    def end(self) -> int:
        return self.starts[-1] + self.seconds

    @property
    def days(self) -> int:
        return (self.after - self.first).days

    def local(self) -> Iterator[tuple[datetime, int]]:
        for start, use in zip(self.starts, self.drawn, strict=True):
            yield datetime.fromtimestamp(start, ZoneInfo(self.zone)), use


def moment(zone: str, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())


def use_of(
    zone: str, first: date, after: date, seconds: int, dice: random.Random, most: int = 2000,
    sun: int = 0,
) -> MonthOfUse:  # fmt: skip
    """Use that is higher in winter, and sun (up to so many Wh a slot) that is higher in summer."""
    starts = range(moment(zone, first), moment(zone, after), seconds)
    winter = abs(first.month - 7) / 6
    level = int(most * (0.3 + 0.7 * winter))
    light = int(sun * (1.1 - winter))
    drawn = [dice.randrange(level) for _ in starts]
    fed = [dice.randrange(light + 1) if light else 0 for _ in starts]
    return MonthOfUse(zone, first, after, seconds, starts, drawn, fed)


def months_of_use(
    zone: str, first: date, count: int, seconds: int = 3600, most: int = 2000, sun: int = 0,
    seed: int = 1,
) -> list[MonthOfUse]:  # fmt: skip
    dice, found = random.Random(seed), []
    for _ in range(count):
        after = (first.replace(day=1) + timedelta(32)).replace(day=1)
        found.append(use_of(zone, first, after, seconds, dice, most, sun))
        first = after
    return found


def bill_of(
    tariff: Tariff, use: MonthOfUse, memory: BillMemory | None = None, paid: int = 0,
    *, is_last: bool = False,
) -> Bill:  # fmt: skip
    return compute_bill(
        tariff, use.starts, use.seconds, use.drawn, export_wh=use.fed, memory=memory, paid=paid,
        is_last=is_last,
    )  # fmt: skip


def bills_of(tariff: Tariff, uses: Sequence[MonthOfUse], paid: int = 0) -> list[Bill]:
    """One bill after another, each on the memory of the one before."""
    bills: list[Bill] = []
    for use in uses:
        bills.append(bill_of(tariff, use, bills[-1].memory if bills else None, paid))
    return bills


def example(name: str) -> Tariff:
    return load_toml((FOLDER / f"{name}.toml").read_text())


def memory_of(bill: Bill) -> BillMemory:
    assert bill.memory is not None
    return bill.memory
