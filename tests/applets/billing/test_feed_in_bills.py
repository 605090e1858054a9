# SPDX-License-Identifier: Apache-2.0
"""Private bills with feed-in equal the plain ones: drawn and real homes with two registers."""

import csv
import gzip
import random
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.billing.messages import BillAnswer
from protocols.metrology import Period
from tariffs import Register, Tariff, TariffError, billed_registers, combine_states
from tariffs.errors import UnbillableReadings
from tests.support.soak import sampled
from tests.support.two_registers import (
    CREDIT,
    ENERGY,
    REGISTERS,
    SOLAR_HOME,
    Home,
    drawn_home,
    real_home,
    tariff_of,
)

GAPS = (range(500, 520), range(600, 601))


def require_equal(tariff: Tariff, home: Home) -> None:
    """The private bill, through messages and check, is the plain one to the penny."""
    answer = home.answer(tariff)
    assert BillAnswer.decode(answer.encode()) == answer
    verified, plain = home.check(tariff, answer.encode()), home.plain(tariff)
    assert str(verified.total) == plain.total
    assert verified.exact is None
    assert verified.registers == billed_registers(tariff, *home.bounds)
    assert list(verified.missing) == [
        start
        for start, state in zip(home.starts, home.states(verified.registers), strict=True)
        if state == 3
    ]


def drawn_tariff(seed: int) -> Tariff:
    """Energy, series, blocks and demand of what is drawn; energy, series and blocks of feed-in."""
    dice = random.Random(seed)

    def price(low: int = 0, high: int = 400) -> str:
        return f'"{dice.randrange(low, high) / 1000:.3f}"'

    noon = 'when = { times = "10:00-15:00" }'
    credit = dice.choice(
        [
            f'[[charge]]\nname = "sun"\nkind = "feed-in"\nprice = {price(1)}\n',
            f'[[charge]]\nname = "sun"\nkind = "feed-in"\n[[charge.band]]\nname = "noon"\n'
            f'price = {price(1)}\n{noon}\n[[charge.band]]\nname = "other"\nprice = {price(1)}\n',
            f'[[charge]]\nname = "sun"\nkind = "blocks"\nregister = "export"\n'
            f'interval = "{dice.choice(("period", "day"))}"\n'
            f'block = [{{ up_to = "{dice.randrange(1, 40)}", price = "-0.11" }},'
            f' {{ price = "-0.04" }}]\n',
        ]
    )
    charges = [
        ENERGY.replace("0.2", f"{dice.randrange(1, 400) / 1000}"),
        '[[charge]]\nname = "standing"\nkind = "standing"\nper_day = "0.31"\n',
        credit,
    ]
    if dice.random() < 0.4:
        charges.append(
            '[[charge]]\nname = "more"\nkind = "blocks"\ninterval = "period"\n'
            f'block = [{{ up_to = "{dice.randrange(20, 300)}", price = {price()} }},'
            f" {{ price = {price()} }}]\n"
        )
    steps = [
        '[[step]]\nname = "brake"\nkind = "cap"\non = ["energy"]\nper_kwh = "0.2000"\n',
        '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\non = ["energy", "standing"]\n',
        '[[step]]\nname = "least"\nkind = "minimum"\nper_day = "0.5"\n',
    ]
    chosen = [step for step in steps if dice.random() < 0.6]
    missing = dice.choice(("omit", "week-before"))
    return tariff_of(*charges, *chosen, head=f'missing = "{missing}"\n')


@pytest.mark.parametrize("seed", sampled(range(10), range(5)))
def test_the_private_bill_with_feed_in_is_the_plain_one(seed: int) -> None:
    require_equal(drawn_tariff(seed), drawn_home(seed, GAPS if seed % 2 else ()))


@pytest.mark.parametrize("rule", ["omit", "week-before"])
@pytest.mark.parametrize(
    "missing",
    [
        {Register.EXPORT: range(400, 420)},
        {Register.IMPORT: range(400, 420)},
        {Register.IMPORT: range(400, 420), Register.EXPORT: range(410, 430)},
    ],
)
def test_what_is_missing_in_either_register_is_missing_in_the_bill(
    missing: dict[Register, range], rule: str
) -> None:
    home, tariff = (
        drawn_home(5, missing=missing),
        tariff_of(ENERGY, CREDIT, head=f'missing = "{rule}"\n'),
    )
    require_equal(tariff, home)
    verified = home.check(tariff, home.answer(tariff).encode())
    slots = set().union(*missing.values())
    assert verified.missing == tuple(home.starts[slot] for slot in sorted(slots))
    of_one = {slot for slot in slots if sum(slot in one for one in missing.values()) == 1}
    assert of_one, "some are known in one of the registers"


@pytest.mark.parametrize(
    ("month", "zone"),
    [
        (Period(date(2011, 10, 1), date(2011, 10, 31)), "Australia/Sydney"),  # the clock changes
        (Period(date(2012, 4, 1), date(2012, 4, 30)), "Australia/Sydney"),  # and back
    ],
)
def test_a_real_home_with_panels_is_billed_over_clock_changes(month: Period, zone: str) -> None:
    solar = '[[charge]]\nname = "solar bonus"\nkind = "feed-in"\nprice = "0.60"\n'
    home, tariff = real_home(month), tariff_of(ENERGY, solar, zone=zone)
    assert sum(home.energy(Register.EXPORT)) > 50_000
    require_equal(tariff, home)


def test_the_whole_energy_of_the_real_home_is_in_its_registers() -> None:
    home = real_home(Period(date(2011, 7, 1), date(2011, 7, 31)))
    with gzip.open(SOLAR_HOME, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["start"].startswith("2011-07")]
    for register, column in (
        (Register.IMPORT, "consumption_kWh"),
        (Register.EXPORT, "pv_generation_kWh"),
    ):
        metered = int(1000 * sum(Fraction(row[column]) for row in rows))
        assert sum(home.energy(register)) == metered


def test_a_bill_of_feed_in_alone_is_about_the_export_register_alone() -> None:
    """As a grid operator settles it: nothing is told of what was drawn."""
    home, tariff = drawn_home(3), tariff_of(CREDIT)
    answer = home.answer(tariff)
    assert list(answer.registers) == [REGISTERS[Register.EXPORT]]
    require_equal(tariff, home)


def test_what_no_feed_in_is_proved_about_has_one_register() -> None:
    home, tariff = drawn_home(3), drawn_tariff(1)
    flat = tariff_of(ENERGY)
    assert billed_registers(flat, *home.bounds) == (Register.IMPORT,)
    assert billed_registers(tariff, *home.bounds) == (Register.IMPORT, Register.EXPORT)


def test_feed_in_that_nothing_depends_on_is_refused_by_name() -> None:
    nothing = '[[charge]]\nname = "sun"\nkind = "feed-in"\nprice = "0"\n'
    with pytest.raises(TariffError, match="nothing of the bill depends on what was fed in"):
        drawn_home(1).plan(tariff_of(ENERGY, nothing))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_a_slot_is_as_well_known_as_the_worse_of_its_registers(
    pairs: list[tuple[int, int]],
) -> None:
    columns = [[a for a, _ in pairs], [b for _, b in pairs]]
    combined = combine_states(columns)
    assert combined == combine_states(columns[::-1])
    for (a, b), state in zip(pairs, combined, strict=True):
        assert (state == 3) == (3 in (a, b))
        assert state in (a, b)
        assert combine_states([[a]]) == [a]


def test_registers_with_other_slots_make_no_bill() -> None:
    with pytest.raises(UnbillableReadings):
        combine_states([[0, 0], [0]])
