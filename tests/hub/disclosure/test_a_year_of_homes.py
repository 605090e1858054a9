# SPDX-License-Identifier: Apache-2.0
"""Legitimate life goes on: what the shipped applets ask for is answered, all year, together.

Of sixty London homes with their real gaps. A sample is in `make test`, all of them in `make soak`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from pathlib import Path

import pytest

from applets.billing.charges import plan_bill
from applets.profiling.messages import Method, ProfilingRequest
from applets.profiling.profiles import Profile, ProfileSet
from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    ConsentTerms,
    Disclosure,
    ExportRequest,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from hub.installer import terms_of
from hub.machine.manifest import Manifest
from hub.vault.database import Database
from meterlet.priced_readings import read_tariff
from protocols.amounts import Metered, NumberAmount, QuotientRule, SlotForm, Sum, Total
from protocols.metrology import Period
from tariffs import Register, Tariff
from tariffs.medium import Medium
from tariffs.source import load_toml
from tests.support.command import ROOT
from tests.support.london import MISSING, states_of
from tests.support.shared import LONDON, needs_shared
from tests.support.soak import sampled

pytestmark = needs_shared(LONDON)

EXAMPLES = [
    path
    for path in sorted((ROOT / "examples" / "tariffs").glob("*.toml"))
    if not read_tariff(path).tariff.has_memory
]
REGISTERS = {Register.IMPORT: "", Register.EXPORT: "1-0:2.8.0*255"}
HOMES = range(60)
LONDON_2013 = """
format = 1
name = "test"
revision = 1
currency = "GBP"
zone = "Europe/London"
rounding = { rule = "half-up", decimals = 2 }
"""
A_YEAR = "valid_from = 2013-01-01\nvalid_until = 2014-01-01\n"
WEEK_BEFORE = """
missing = "week-before"
charge = [{ name = "energy", kind = "energy", price = "0.3" }]
"""
OMITTED = """
missing = "omit"
[[charge]]
name = "energy"
kind = "blocks"
interval = "month"
block = [{ up_to = "100", price = "0.2" }, { price = "0.3" }]
"""
CHANGE_ON_THE_LAST = """
[[version]]
valid_from = 2013-01-01
valid_until = 2013-03-31
[[version.charge]]
name = "energy"
kind = "energy"
band = [
    { name = "night", price = "0.10", when = { times = "00:30-07:30" } },
    { name = "day", price = "0.20" },
]
[[version]]
valid_from = 2013-03-31
valid_until = 2014-01-01
[[version.charge]]
name = "energy"
kind = "energy"
band = [
    { name = "night", price = "0.11", when = { times = "00:30-07:30" } },
    { name = "day", price = "0.22" },
]
"""
CRITICAL_PEAK = """
[[charge]]
name = "energy"
kind = "energy"
band = [{ name = "all", price = "0.20" }]
event = [{ name = "critical", price = "0.95", at = ["2013-03-04 17:00-20:00"] }]
"""


def tariff_of(charges: str) -> Tariff:
    return load_toml(LONDON_2013 + ("" if "version" in charges else A_YEAR) + charges)


@dataclass
class Month:
    """A month of a home, on slots of so many minutes."""

    zone: str
    year: int
    month: int
    minutes: int
    home: int

    def __post_init__(self) -> None:
        self.begin, self.end = Period.month(self.year, self.month).bounds(self.zone)
        self.starts = list(range(self.begin, self.end, 60 * self.minutes))
        first, _ = Period.month(self.year, 1).bounds(self.zone)
        self.states = states_of(self.home, first, self.starts)

    @property
    def days(self) -> int:
        after = date(self.year + self.month // 12, self.month % 12 + 1, 1)
        return (after - date(self.year, self.month, 1)).days

    def request(
        self, terms: ConsentTerms, numbers: Sequence[NumberAmount], registers: Sequence[str] = ("",)
    ) -> ReleaseRequest:
        missing = [place for place, state in enumerate(self.states) if state == MISSING]
        told = tuple(
            number_of(
                one, self.begin, 60 * self.minutes, len(self.starts), registers,
                [missing] * len(registers),
            )
            for one in numbers
        )  # fmt: skip
        return ReleaseRequest(
            terms.applet, terms.package, terms.recipient, terms.purpose, self.days, told, bytes(32)
        )

    def bill(self, terms: ConsentTerms, tariff: Tariff) -> ReleaseRequest:
        plan = plan_bill(
            tariff, self.starts, 60 * self.minutes, self.states, self.begin, self.end
        )  # fmt: skip
        return self.request(terms, [plan.total], [REGISTERS[one] for one in plan.registers])


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with Database(
        tmp_path / "hub.db", [LOG_COMPONENT, CONSENT_COMPONENT], key=bytes(32)
    ) as database:
        yield Disclosure(database, lambda: 1_767_225_600)


def consents(guard: Disclosure, manifest: str) -> ConsentTerms:
    """Grant what a shipped manifest asks for; return the first of these."""
    text = (ROOT / "applets" / manifest).read_text()
    terms = terms_of(Manifest.from_toml(text), manifest.encode())
    for one in terms:
        guard.grant(one)
    return terms[0]


def months_of(tariff: Tariff, year: int) -> list[int]:
    """Return the months that a tariff prices whole."""
    found = []
    for month in range(1, 13):
        begin, end = Period.month(year, month).bounds(tariff.zone)
        if tariff.boundaries[0] <= begin and end <= tariff.boundaries[-1]:
            found.append(month)
    return found


@pytest.mark.parametrize("home", sampled(HOMES, [0]))
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_month_of_each_example_tariff_is_billed(
    guard: Disclosure, path: Path, home: int
) -> None:
    terms, tariff = consents(guard, "billing/manifest.toml"), read_tariff(path).tariff
    year = 2013 if "2013" in path.stem else 2025
    for month in months_of(tariff, year):
        request = Month(tariff.zone, year, month, 15, home).bill(terms, tariff)
        guard.permit(request)
        assert request.numbers[0].bits <= (24 if tariff.medium is Medium.ELECTRICITY else 25)


@pytest.mark.parametrize("home", sampled(HOMES, [0]))
def test_all_shipped_applets_are_answered_beside_each_other(guard: Disclosure, home: int) -> None:
    """Two bills under different tariffs, settlement, a match and scores or a sample, each month."""
    billing = consents(guard, "billing/manifest.toml")
    settlement = consents(guard, "settlement/manifest.toml")
    profiling = consents(guard, "profiling/manifest.toml")
    economy = read_tariff(ROOT / "examples" / "tariffs" / "gb-economy7-2013.toml").tariff
    blocks = tariff_of(OMITTED)
    dice = random.Random(home)
    shapes = [tuple(dice.randrange(20, 200) for _ in range(48)) for _ in range(36)]
    # By the clock of the tariff, whose night does not change with the season.
    profiles = ProfileSet(
        "shapes", 1, "Etc/GMT", (),
        tuple(
            Profile(f"p{place}", (one, two, three))
            for place, (one, two, three) in enumerate(
                zip(shapes[:12], shapes[12:24], shapes[24:], strict=True)
            )
        ),
    )  # fmt: skip
    for number in range(1, 13):
        month = Month("Europe/London", 2013, number, 30, home)
        for tariff in (economy, blocks):
            guard.permit(month.bill(billing, tariff))
        prices = SlotForm.of_each([dice.randrange(-20_000, 300_000) for _ in month.starts])
        worth = Total((Metered(0, Sum(prices)),), (), 10**7, QuotientRule.HALF_EVEN)
        guard.permit(month.request(settlement, [worth]))
        methods = [(Method.MATCH, 1), (Method.SCORES, 1) if number % 2 else (Method.SAMPLE, 7)]
        for method, step in methods:
            asked = ProfilingRequest(method, profiles, step).numbers(month.starts, 1_800)
            guard.permit(month.request(profiling, asked))
    begin, end = Period.month(2013, 6).bounds("Europe/London")
    guard.grant(export_of_june())
    guard.permit_export(
        ExportRequest("adviser", "advice", 60, begin, end, "2013-06-01/2013-06-30", 720, 20_000)
    )
    guard.permit(Month("Europe/London", 2013, 6, 30, home).bill(billing, economy))  # once more
    assert not list(guard.log.entries("refusal"))


def export_of_june() -> ConsentTerms:
    return ConsentTerms(
        applet=b"", package=b"", recipient="adviser", purpose="advice",
        statement="export 2013-06-01/2013-06-30", least_days=1, least_minutes=60, answers=1,
        bits=100_000, until=date(2035, 12, 31),
    )  # fmt: skip


@pytest.mark.parametrize(
    "charges",
    [WEEK_BEFORE, CHANGE_ON_THE_LAST, CRITICAL_PEAK, OMITTED],
    ids=["a missing slot stands in", "a price changes on the last", "a critical peak", "omitted"],
)
@pytest.mark.parametrize("home", sampled(HOMES, [1, 5]))
def test_bills_that_were_refused_are_answered(guard: Disclosure, charges: str, home: int) -> None:
    terms, tariff = consents(guard, "billing/manifest.toml"), tariff_of(charges)
    for number in range(1, 13):
        month = Month(tariff.zone, 2013, number, 30, home)
        if number > 1 or MISSING not in month.states or "week" not in charges:
            guard.permit(month.bill(terms, tariff))


def test_two_ways_of_a_bill_with_a_missing_slot_are_both_answered(guard: Disclosure) -> None:
    """One counts a missing slot with its price, the other leaves it out: nobody used it."""
    terms = consents(guard, "billing/manifest.toml")
    home, number = next(
        (home, number)
        for home, number in product(HOMES, range(1, 13))
        if MISSING in Month("Europe/London", 2013, number, 30, home).states
    )
    month = Month("Europe/London", 2013, number, 30, home)
    economy = read_tariff(ROOT / "examples" / "tariffs" / "gb-economy7-2013.toml").tariff
    guard.permit(month.bill(terms, economy))
    guard.permit(month.bill(terms, tariff_of(OMITTED)))


def test_a_second_number_that_would_single_out_a_few_hours_is_refused(guard: Disclosure) -> None:
    """What a supplier can do instead: ask once, under the tariff that is in force."""
    terms = consents(guard, "billing/manifest.toml")
    month = Month("Europe/London", 2013, 3, 30, 0)
    guard.permit(month.bill(terms, tariff_of(CRITICAL_PEAK)))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 180 min"):
        guard.permit(month.bill(terms, tariff_of(OMITTED)))
