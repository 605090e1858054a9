# SPDX-License-Identifier: Apache-2.0
"""Small tariffs with memory, and a period of use billed in pieces."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from random import Random

from tariffs import Bill, Tariff
from tariffs.source import load_toml
from tests.support.memory_year import bill_of, moment, use_of

ZONE = "Asia/Tokyo"
"""Without summer time, so that a period may be cut into slots of six hours at any day."""
SLOT = 21_600
HEAD = f"""format = 1
name = "drawn"
revision = 1
currency = "EUR"
zone = "{ZONE}"
rounding = {{ rule = "half-up", decimals = 2 }}
"""
VALID = "valid_from = 2024-01-01\nvalid_until = 2027-01-01\n"
BANDS = """[[charge.band]]
name = "day"
{day}
when = {{ times = "06:00-18:00" }}
[[charge.band]]
name = "night"
{night}
"""
LOOK_BACK = """[[charge]]
name = "power"
kind = "demand"
look_back = 11
look_back_rule = "mean"
price_per_kw = "4"
"""
ENERGY = '[[charge]]\nname = "energy"\nkind = "energy"\nprice = "0.30"\n'


def tariff_of(body: str, valid: str = VALID) -> Tariff:
    return load_toml(HEAD + valid + body)


def in_pieces(
    tariff: Tariff, days: list[date], seed: int, seconds: int = SLOT, paid: Sequence[int] = (),
    *, ends: bool = False,
) -> list[Bill]:  # fmt: skip
    """A bill from each of the days to the next, of the use that a seed makes for the whole.

    `ends` says that the contract ends with the last one.
    """
    zone = tariff.zone
    whole = use_of(zone, days[0], days[-1], seconds, Random(seed), 9000, 9000)
    bills: list[Bill] = []
    for first, after in pairwise(days):
        begin, end = moment(zone, first), moment(zone, after)
        part = slice(whole.starts.index(begin), (end - whole.starts[0]) // seconds)
        use = replace(
            whole, starts=whole.starts[part], drawn=whole.drawn[part], fed=whole.fed[part]
        )
        advance = paid[len(bills)] if paid else 0
        memory, is_last = bills[-1].memory if bills else None, ends and after == days[-1]
        bills.append(bill_of(tariff, use, memory, advance, is_last=is_last))
    return bills
