# SPDX-License-Identifier: Apache-2.0
"""Bills that go on from each other, as two parties run them: instalments, then prepaid credit."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import ROOT, run_meterlet, serving_hub
from tests.support.town import METER, done, refused

HEAD = """
format = 1
name = "{name}"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = {{ rule = "half-up", decimals = 2 }}
[[charge]]
name = "energy"
kind = "energy"
price = "0.3045"
"""
BUDGET = """
[[step]]
name = "budget plan"
kind = "instalment"
per_month = "95.00"
true_up = "year"
year_begins = "04-01"
"""
PREPAID = '[[step]]\nname = "prepaid"\nkind = "credit"\n'


class Town:
    """A home of half a year of hours, under two contracts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hub, self.utility = folder, folder / "hub", folder / "utility"
        vendor, package = folder / "vendor.key", folder / "billing.cap"
        done("tariff", "keygen", "--out", vendor)
        done(
            "applet", "build", ROOT / "applets" / "billing", "--manifest", "memory.toml",
            "--key", vendor, "-o", package,
        )  # fmt: skip
        done("utility", "init", self.utility)
        done("hub", "init", self.hub, "--serial", 1, "--slot", 60, "--vendor", f"{vendor}.pub")
        days = "--from", "2025-01-01", "--until", "2025-05-31"
        done("hub", "ingest", "--hub", self.hub, "synthetic", *days)
        enrolment = folder / "enrolment.json"
        done(
            "applet", "install", "--hub", self.hub, package, "--yes",
            "--recipient", self.utility / "public.pem", "--enrolment", enrolment,
        )  # fmt: skip
        done("utility", "enrol", "--utility", self.utility, enrolment, "--from", "2025-01-01")
        calendar = BUDGET.replace('year_begins = "04-01"', "")
        steps = {"budget": BUDGET, "calendar": calendar, "prepaid": PREPAID, "flat": ""}
        for name, step in steps.items():
            (folder / f"{name}.toml").write_text(HEAD.format(name=name) + step)

    def request(self, address: str, name: str, month: str, *more: object) -> tuple[object, ...]:
        return (
            "utility", "request", "bill", "--utility", self.utility, "--meter", METER,
            "--month", month, "--tariff", self.folder / f"{name}.toml", "--hub", address, *more,
        )  # fmt: skip

    def bill(self, address: str, name: str, month: str, *more: object) -> dict[str, Any]:
        bundle = self.folder / f"{month}.bundle"
        asked = self.request(address, name, month, "--bundle", bundle, "--json", *more)
        facts: dict[str, Any] = json.loads(done(*asked))
        return facts

    def bundles(self, *months: str) -> list[Path]:
        return [self.folder / f"{month}.bundle" for month in months]

    def inspected(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(done("inspect", "bill", "--hub", self.hub, "--json"))
        return facts


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


def cost(facts: dict[str, Any]) -> Decimal:
    """Return what the energy of an inspected bill costs, rounded as the bill is."""
    micro = sum(item["amount_exact"] for item in facts["items"] if item["component"] == "energy")
    return Decimal(micro).scaleb(-facts["exact_decimals"]).quantize(Decimal("0.01"))


def test_instalments_a_true_up_and_prepaid_credit(town: Town) -> None:
    with serving_hub(town.hub) as address:
        budget_year(town, address)
        prepaid_spring(town, address)
    ledger = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    bills = [entry for entry in ledger["entries"] if entry["kind"] == "bill"]
    assert [entry["bill"] for entry in bills] == [1, 2, 3, 1, 2, 1, 2]
    assert len({entry["account"] for entry in bills}) == 2
    assert bills[4]["state_before"] == bills[3]["state"]


def budget_year(town: Town, address: str) -> None:
    code, line = refused(*town.request(address, "budget", "2025-02"))
    assert (code, "out of order" in line, "2025-01-01 to 2025-01-31" in line) == (4, True, True)
    owed = Decimal(0)
    for number, month in enumerate(("2025-01", "2025-02"), start=1):
        bill = town.bill(address, "budget", month)
        assert (bill["total"], bill["memory"]["bill"]) == ("95.00", number)
        assert bill["memory"]["carried"] == ["budget plan/0/-"]
        shown = town.inspected()
        assert shown["verdict"] == "matches"
        owed += cost(shown) - 95
        [balance] = shown["memory"]["carried"]
        assert Decimal(balance["value"]).scaleb(-6) == owed
        assert balance["owed_to"] == ("supplier" if owed > 0 else "resident")
        assert len(shown["memory"]["brought"]) == number - 1
    code, line = refused(*town.request(address, "flat", "2025-03"))
    assert (code, "a tariff without memory would lose" in line) == (4, True)
    code, line = refused(*town.request(address, "budget", "2025-03", "--paid", "5"))
    assert (code, "nothing is paid in advance under it" in line) == (4, True)
    true_up = town.bill(address, "budget", "2025-03")
    shown = town.inspected()
    assert Decimal(true_up["total"]) == owed + cost(shown)
    assert (shown["verdict"], shown["memory"]["carried"]) == ("matches", [])
    january, february, march = town.bundles("2025-01", "2025-02", "2025-03")
    key = "--supplier", town.utility / "public.pem"
    told = done("bill", "verify", january, february, march, *key)
    assert told.endswith("3 bills, each going on from the one before\n")
    assert "goes on from bill 1, state " in done("bill", "verify", february, *key)


def prepaid_spring(town: Town, address: str) -> None:
    contract = "utility", "contract"
    done(*contract, "close", METER, "--utility", town.utility, "--until", "2025-03-31")
    done(*contract, "open", METER, "--utility", town.utility, "--from", "2025-04-01")
    april = town.bill(address, "prepaid", "2025-04", "--paid", "200")
    assert (april["total"], april["memory"]["paid"]) == ("0.00", "200.00")
    shown = town.inspected()
    left = 200 - cost(shown)
    assert left > 0
    assert [one["value"] for one in shown["memory"]["carried"]] == [int(left.scaleb(6))]
    text = done("inspect", "bill", "--hub", town.hub)
    assert f"prepaid: {left:.2f}" in text
    assert "EUR, which the supplier owes you" in text
    assert "it goes on from what" not in text
    text = done(*town.request(address, "prepaid", "2025-05", "--paid", "0.50"))
    assert "bill 2 of account " in text
    assert "  prepaid: committed, not told" in text
    shown = town.inspected()
    due = max(Decimal(0), cost(shown) - left - Decimal("0.50"))
    assert (shown["verdict"], Decimal(shown["invoiced"])) == ("matches", due)
    [brought] = shown["memory"]["brought"]
    assert (brought["value"], brought["owed_to"]) == (int(left.scaleb(6)), "resident")
    assert "it goes on from what the bill before has left:" in done(
        "inspect", "bill", "--hub", town.hub
    )
    released = json.loads(done("inspect", "releases", "--hub", town.hub, "--json"))["released"]
    since = {one["first_day"]: one["goes_on_from"] for one in released}
    assert (since["2025-04-01"], since["2025-05-01"]) == (None, "2025-03-31T22:00:00Z")
    bad = run_meterlet(*town.request(address, "prepaid", "2025-05", "--paid", "-1"))
    assert (bad.returncode, "below 0" in bad.stderr) == (2, True)
    bad = run_meterlet(*town.request(address, "prepaid", "2025-05", "--paid", "0.125"))
    assert (bad.returncode, "0.125 has more decimals" in bad.stderr) == (2, True)
    asked_again(town, address)
    # bundles that are no chain
    for wrong, why in (
        (("2025-01", "2025-03"), "memory: bundle 2 is bill 3 of the same account"),
        (("2025-03", "2025-04"), "memory: bundle 2 is bill 1 of another account"),
    ):
        told = run_meterlet("bill", "verify", *town.bundles(*wrong))
        assert (told.returncode, why in told.stderr) == (3, True)
        assert told.stdout == "differs at the check of the memory\n"


def asked_again(town: Town, address: str) -> None:
    """What was paid stays with its bill, and void bills are named with their days."""
    april = town.bill(address, "prepaid", "2025-04", "--bundle", town.folder / "again.bundle")
    assert april["memory"]["paid"] == "200.00"
    assert april["memory"]["void"] == [{"bill": 2, "from": "2025-05-01", "until": "2025-05-31"}]
    shown = "utility", "contract", "show", METER, "--utility", town.utility
    text = done(*shown)
    assert "  void        2025-05-01 to 2025-05-31, whose bill went on from one " in text
    assert "  next        2025-05-01 to 2025-05-31, which is due" in text
    contract = json.loads(done(*shown, "--json"))["contracts"][-1]
    assert contract["void"] == [{"from": "2025-05-01", "until": "2025-05-31"}]
    assert contract["billed"] == [{"from": "2025-04-01", "until": "2025-04-30"}]
    text = done(*town.request(address, "prepaid", "2025-05"))
    assert f"paid in advance: 0.50, as in invoice {april['invoice'] - 1}\n" in text


def test_who_moves_out_gets_a_last_bill_and_who_moves_in_an_account_of_their_own(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path)
    with serving_hub(town.hub) as address:
        owed = three_bills(town, address)
        last_bill(town, address, owed)
        newcomer(town, address)
    text = done("utility", "ledger", "--utility", town.utility)
    assert text.count(", its last one") == 1


def three_bills(town: Town, address: str) -> Decimal:
    owed = Decimal(0)
    for month in ("2025-01", "2025-02", "2025-03"):
        bill = town.bill(address, "calendar", month)
        assert (bill["total"], "last" in bill["memory"]) == ("95.00", False)
        owed += cost(town.inspected()) - 95
    return owed


def last_bill(town: Town, address: str, owed: Decimal) -> None:
    """They move out at the end of April; nobody waits for the end of the year."""
    contract = "utility", "contract"
    at = "--utility", town.utility
    done(*contract, "close", METER, *at, "--until", "2025-04-30")
    last = town.bill(address, "calendar", "2025-04")
    shown = town.inspected()
    assert Decimal(last["total"]) == owed + cost(shown)
    assert (shown["verdict"], shown["memory"]["last"]) == ("matches", True)
    assert (last["memory"]["last"], last["memory"]["carried"]) == (True, [])
    assert "every day is billed" in done(*contract, "show", METER, *at)
    bundles = town.bundles("2025-01", "2025-02", "2025-03", "2025-04")
    told = done("bill", "verify", *bundles)
    assert told.count("the last bill of the contract: it settles all, and leaves nothing") == 1
    text = done("inspect", "bill", "--hub", town.hub)
    assert "the last bill of the contract: it settles all, and leaves nothing" in text
    # and nothing more
    code, line = refused(*town.request(address, "calendar", "2025-05"))
    assert (code, "is not within one contract" in line) == (4, True)
    done(*contract, "close", METER, *at, "--until", "2025-05-31")
    code, line = refused(*town.request(address, "calendar", "2025-05"))
    assert (code, "was the last one of the contract, and settled it" in line) == (4, True)
    done(*contract, "close", METER, *at, "--until", "2025-04-30")


def newcomer(town: Town, address: str) -> None:
    at = "--utility", town.utility
    done("utility", "contract", "open", METER, *at, "--from", "2025-05-01")
    may = town.bill(address, "calendar", "2025-05")
    assert (may["total"], may["memory"]["bill"], "last" in may["memory"]) == ("95.00", 1, False)
    [former, own] = json.loads(done("utility", "contract", "list", *at, "--json"))["contracts"]
    assert (former["until"], own["account"]) == ("2025-04-30", may["memory"]["account"])
    wrong = run_meterlet("bill", "verify", *town.bundles("2025-04", "2025-05"))
    assert (wrong.returncode, "bill 1 of another account" in wrong.stderr) == (3, True)
