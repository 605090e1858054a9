# SPDX-License-Identifier: Apache-2.0
"""A capacity line can be checked by a person: months before, share of them, price period."""

from dataclasses import asdict, replace

import pytest

from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.views.demand_items import DemandDetail, demand_details
from hub.inspection.views.memory import carried_amounts
from meterlet.commands.inspect.bill import demand_text
from protocols.metrology import Period
from tariffs import Bill, BillMemory, Tariff, compute_bill
from tariffs.source import load_toml
from tests.support.command import ROOT

POWERS = {"2025-01": 6000, "2025-02": 3200, "2025-03": 4000}


def month_of(tariff: Tariff, month: str, memory: BillMemory | None) -> Bill:
    year, number = map(int, month.split("-"))
    begin, end = Period.month(year, number).bounds(str(tariff.zone))
    starts = list(range(begin, end, 900))
    uses = [POWERS[month] // 4] * len(starts)
    return compute_bill(tariff, starts, 900, uses, memory=memory)


def details(name: str) -> list[tuple[Bill, DemandDetail]]:
    tariff = load_toml((ROOT / "examples" / "tariffs" / f"{name}.toml").read_text(), source=name)
    memory, found = None, []
    for month in POWERS:
        bill = month_of(tariff, month, memory)
        [detail] = demand_details(bill, tariff, carried_amounts(memory, tariff))
        found.append((bill, detail))
        memory = bill.memory
    return found


def test_a_mean_says_over_how_many_months_and_which_share_of_a_year_is_billed() -> None:
    found = details("be-capacity-rolling-2025")
    shown = [(one.rule, one.before, one.watts, one.per, one.times) for _, one in found]
    assert [one[:4] for one in shown] == [
        ("", 0, 6000, "year"), ("mean", 1, 4600, "year"), ("mean", 2, 4400, "year"),
    ]  # fmt: skip
    for bill, one in found:  # the amount follows from what is said
        [item] = [item for item in bill.items if item.component == one.component]
        part, _, whole = one.times.partition("/")
        exact = one.watts * (item.rate or 0) * int(part) / int(whole)
        assert item.amount_exact / 10 ** (bill.exact_decimals - 9) == pytest.approx(exact)


def test_a_share_of_the_highest_month_before_is_said() -> None:
    *_, (_, last) = details("us-ratchet-2025")
    assert (last.rule, last.before, last.share_ppm, last.watts) == ("highest", 2, 800_000, 4800)
    assert (last.per, last.times) == ("month", "1")
    assert demand_text(asdict(last)) == (
        "demand: 4,800 W is its own peak, or 80 % of the highest of 2 before if that is more; the"
        " price is for a month"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_says_it(language: str) -> None:
    words = replace(catalogue(language), prefix="pages.")
    for name, mark in (("be-capacity-rolling-2025", "3"), ("us-ratchet-2025", "80")):
        *_, (_, last) = details(name)
        text = words.demand(last)
        assert mark in text
        assert "{" not in text
        assert last.component in text
