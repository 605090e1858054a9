# SPDX-License-Identifier: Apache-2.0
"""Before a tariff is signed: will hubs answer private bills under it, and what is to be changed?"""

import json
from pathlib import Path

import pytest

from meterlet.commands.private_check import private_months
from meterlet.priced_readings import read_tariff
from tariffs.source import load_toml
from tests.support.command import ROOT, run_meterlet

HEADING = """
format = 1
name = "test"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-15
valid_until = 2025-04-10
rounding = { rule = "half-up", decimals = DECIMALS }
[[charge]]
name = "energy"
kind = "energy"
"""
BANDS = """
band = [
    { name = "peak", price = "HIGH", when = { times = "17:00-18:00" } },
    { name = "usual", price = "LOW" },
]
"""


def source(high: str, low: str, decimals: int = 2) -> str:
    text = HEADING.replace("DECIMALS", str(decimals)) + BANDS
    return text.replace("HIGH", high).replace("LOW", low)


@pytest.mark.parametrize(
    ("high", "low", "decimals", "consent", "rule"),
    [
        ("0.95", "0.20", 2, "ordinary", ""),
        ("0.95", "0.01", 2, "by bits", "price"),
        ("0.30", "0", 2, "ordinary", ""),  # 31 hours of a month
        ("0.30", "0.20", 6, None, "size"),
    ],
    ids=["peaks", "prices far apart", "a price of one hour a day", "many decimals"],
)
def test_each_whole_month_says_under_which_consent_it_is_answered(
    high: str, low: str, decimals: int, consent: str | None, rule: str
) -> None:
    months = list(private_months(load_toml(source(high, low, decimals))))
    assert [str(one.period) for one in months] == ["2025-02", "2025-03"]
    assert {(one.consent, one.rule) for one in months} == {(consent, rule)}
    assert all(one.as_json()["change"] for one in months if rule)


def test_a_charge_on_a_few_hours_alone_is_refused_with_what_to_change() -> None:
    text = source("0.30", "0").replace(
        'times = "17:00-18:00"', 'dates = "02-03", times = "17:00-18:00"'
    )
    february, march = private_months(load_toml(text))
    assert (february.consent, february.rule) == ("by bits", "fineness")
    assert "the use of 60 min" in february.reason
    assert (march.consent, march.rule) == (None, "tariff")


def test_the_command_says_it_for_each_file(tmp_path: Path) -> None:
    fine, dear = tmp_path / "fine.toml", tmp_path / "dear.toml"
    fine.write_text(source("0.95", "0.20"))
    dear.write_text(source("0.30", "0.20", 6))
    done = run_meterlet("tariff", "check", "--private", fine)
    assert (done.returncode, done.stdout.count("answered under the ordinary consent, ")) == (0, 2)
    done = run_meterlet("tariff", "check", "--private", "--json", fine, dear)
    assert done.returncode == 5
    first, second = json.loads(done.stdout)["files"]
    assert [month["answered"] for month in (*first["private"], *second["private"])] == [
        True, True, False, False,
    ]  # fmt: skip
    assert second["private"][0]["change"] == "round the total to larger units"


def test_all_example_tariffs_are_answered() -> None:
    examples = sorted((ROOT / "examples" / "tariffs").glob("*.toml"))
    alone = [path for path in examples if not read_tariff(path).tariff.has_memory]
    done = run_meterlet("tariff", "check", "--private", "--json", *alone[:4])
    assert done.returncode == 0, done.stdout


EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tariffs"


@pytest.mark.parametrize("name", ["nl-energy-tax-2025", "gb-budget-2025"])
def test_bills_with_memory_are_looked_at_one_after_the_other(name: str) -> None:
    months = list(private_months(load_toml((EXAMPLES / f"{name}.toml").read_text()), 60))
    assert len(months) == 24
    assert {month.consent for month in months} == {"with memory"}


def test_a_credit_that_is_never_settled_goes_back_further_than_a_consent_says() -> None:
    months = list(private_months(load_toml((EXAMPLES / "de-prepaid-2025.toml").read_text()), 60))
    refused = [month for month in months if month.consent is None]
    assert [month.rule for month in refused] == ["memory"] * 11
    assert refused[0].as_json()["change"] == "let bills go on from less of the past"
    assert "424 days back, the consent says 400" in refused[0].reason
