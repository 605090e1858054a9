# SPDX-License-Identifier: Apache-2.0
"""Every kind of charge and step against the oracle, on drawn households."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import Bill, Tariff, TariffError, UnbillableReadings, UnpricedSlot, compute_bill
from tariffs.source import load_toml
from tests.tariffs.oracle import Tiers, World, nano_rounded

ZONES = ("Europe/Berlin", "Australia/Sydney", "America/Los_Angeles", "UTC")
RULES = ("half-even", "half-up", "down")
INTERVALS = ("day", "month", "quarter", "year", "period")

quick = settings(deadline=None, max_examples=25)


def head(world: World, more: str = "") -> str:
    return f"""
format = 1
name = "component"
revision = 1
currency = "EUR"
zone = "{world.zone}"
valid_from = 2023-01-01
valid_until = 2026-01-01
rounding = {{ rule = "{world.rule}", decimals = 2 }}
{more}
[seasons]
summer = "04-01 to 09-30"
"""


def bill(world: World, source: str, export: list[int | None] | None = None) -> Bill:
    tariff = load_toml(head(world) + source)
    assert Tariff.decode(tariff.encode()) == tariff
    found = compute_bill(
        tariff, world.starts, world.seconds, world.use, export_wh=export, begin=world.begin,
        end=world.end, by_slot=True,
    )  # fmt: skip
    energy = [item for item in found.items if item.kind in ("energy", "series", "blocks")]
    assert sum(slot.amount_exact for slot in found.slots) == sum(i.amount_exact for i in energy)
    return found


def exact(found: Bill) -> Fraction:
    return Fraction(found.total_exact, 10**found.exact_decimals)


@st.composite
def worlds(draw: st.DrawFn, max_days: int = 40) -> World:
    zone = draw(st.sampled_from(ZONES))
    turns = [date(2024, 3, 30), date(2024, 10, 26), date(2024, 12, 31), date(2024, 2, 28)]
    day = draw(st.sampled_from(turns) | st.dates(date(2024, 1, 3), date(2025, 6, 1)))
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    begin += 3600 * draw(st.integers(-24, 24))
    seconds = draw(st.sampled_from([900, 1800, 3600, 3600]))
    count = draw(st.integers(1, max_days * 24)) * 3600 // seconds
    pattern = draw(st.lists(st.none() | st.integers(0, 4000), min_size=1, max_size=40))
    use = [pattern[i * 7919 % len(pattern)] for i in range(count)]
    return World(zone, begin, seconds, use, draw(st.sampled_from(RULES)))


def money(lowest: int = 0) -> st.SearchStrategy[Decimal]:
    return st.integers(lowest, 2 * 10**6).map(lambda micro: Decimal(micro).scaleb(-6))


def kilo(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda milli: Decimal(milli).scaleb(-3))


def peak(local: datetime) -> bool:
    return local.weekday() < 5 and 7 <= local.hour < 20


PEAK_BANDS = """
[[charge.band]]
name = "peak"
when = {{ days = "Mon-Fri", times = "07:00-20:00" }}
{}
[[charge.band]]
name = "rest"
{}
"""


@quick
@given(worlds(), money(), st.sampled_from(INTERVALS))
def test_standing_charges_are_shared_out_by_days(world: World, price: Decimal, per: str) -> None:
    key = "bill" if per == "period" else per
    found = bill(world, f'[[charge]]\nname = "base"\nkind = "standing"\nper_{key} = "{price}"')
    assert exact(found) == world.fixed(Fraction(price), per)


@quick
@given(worlds(), money(), kilo(1, 50_000), st.sampled_from(INTERVALS))
def test_capacity_fees(world: World, price: Decimal, kw: Decimal, per: str) -> None:
    source = f"""[[charge]]
name = "capacity"
kind = "capacity"
kw = "{kw}"
price_per_kw = "{price}"
per = "{per}"
"""
    expected = nano_rounded(Fraction(price) * Fraction(kw) * world.times(per), world.rule)
    assert exact(bill(world, source)) == expected


@st.composite
def tiers(draw: st.DrawFn, low: int, high: int, step: int = 1) -> Tiers:
    limits = draw(st.lists(st.integers(low, high).map(lambda n: n * step), unique=True, max_size=3))
    return [
        *((Fraction(limit, 1000), Fraction(draw(money(-(10**5))))) for limit in sorted(limits)),
        (None, Fraction(draw(money()))),
    ]


def blocks_toml(steps: Tiers, key: str) -> str:
    def decimal(value: Fraction, places: int) -> str:
        return str(Decimal(int(value * 10**places)).scaleb(-places))

    return "\n".join(
        "[[charge.PLACE]]\n"
        + ("" if limit is None else f'{key} = "{decimal(limit, 3)}"\n')
        + f'price = "{decimal(price, 6)}"'
        for limit, price in steps
    )


LIMIT_KEYS = {"energy": "up_to", "daily": "up_to_per_day", "power": "up_to_kw"}


@settings(deadline=None, max_examples=40)
@given(worlds(), st.sampled_from(["energy", "daily"]), st.sampled_from(INTERVALS), st.data())
def test_blocks_by_time_of_use(world: World, kind: str, interval: str, data: st.DataObject) -> None:
    high = {"day": 60_000, "period": 2_000_000}.get(interval, 800_000)
    first, second = (data.draw(tiers(1, 60_000 if kind == "daily" else high)) for _ in range(2))
    key = LIMIT_KEYS[kind]
    if len(first) == len(second) == 1:
        first = [(Fraction(5), Fraction(1)), *first]
    parts = [blocks_toml(steps, key).replace("PLACE", "band.block") for steps in (first, second)]
    source = f'[[charge]]\nname = "tiers"\nkind = "blocks"\ninterval = "{interval}"\n'
    found = bill(world, source + PEAK_BANDS.format(*parts))
    bands: Callable[[datetime], int] = lambda local: 0 if peak(local) else 1  # noqa: E731
    assert exact(found) == world.blocks(bands, [first, second], kind, interval)
    assert sum(item.quantity or 0 for item in found.items) == sum(use for _, use in world.known())


@quick
@given(worlds(), st.data())
def test_blocks_of_power_price_what_is_above_a_limit(world: World, data: st.DataObject) -> None:
    first = data.draw(tiers(1, 4000, step=4))
    if len(first) == 1:
        first = [(Fraction(2), Fraction(1)), *first]
    source = '[[charge]]\nname = "power"\nkind = "blocks"\n'
    found = bill(world, source + blocks_toml(first, "up_to_kw").replace("PLACE", "block"))
    assert exact(found) == world.blocks(lambda _: 0, [first], "power", "period")


@settings(deadline=None, max_examples=40)
@given(
    worlds(),
    st.sampled_from(["peak", "mean-of-daily-peaks", "mean-of-monthly-peaks"]),
    st.sampled_from(["month", "period", "quarter"]),
    st.sampled_from(["day", "month", "year", "period"]),
    money(),
    kilo(0, 5000),
    st.data(),
)
def test_demand_charges(
    world: World, figure: str, interval: str, per: str, price: Decimal, floor_kw: Decimal,
    data: st.DataObject,
) -> None:  # fmt: skip
    highest = data.draw(st.integers(0, 3)) if figure == "mean-of-daily-peaks" else 0
    window = data.draw(st.sampled_from([world.seconds, 3600]))
    source = f"""[[charge]]
name = "demand"
kind = "demand"
figure = "{figure}"
interval = "{interval}"
per = "{per}"
floor_kw = "{floor_kw}"
window = "{window // 60}min"
highest = {highest}
"""
    prices = f'price_per_kw = "{price}"', 'price_per_kw = "0"'
    found = bill(world, source + PEAK_BANDS.format(*prices))
    expected = world.demand(
        peak, figure, highest, Fraction(floor_kw), window, interval,
        lambda watts: Fraction(price) * watts / 1000, per,
    )  # fmt: skip
    assert exact(found) == expected


@quick
@given(worlds(), kilo(1, 3000), kilo(1, 3000), st.tuples(money(), money(), money()))
def test_demand_in_steps(
    world: World, low: Decimal, more: Decimal, amounts: tuple[Decimal, Decimal, Decimal]
) -> None:
    high = low + more
    source = f"""[[charge]]
name = "capacity step"
kind = "demand"
figure = "mean-of-daily-peaks"
highest = 3
step = [
    {{ up_to_kw = "{low}", amount = "{amounts[0]}" }},
    {{ up_to_kw = "{high}", amount = "{amounts[1]}" }},
    {{ amount = "{amounts[2]}" }},
]
"""

    def step(watts: int) -> Fraction:
        kw = Fraction(watts, 1000)
        return Fraction(amounts[0] if kw <= low else amounts[1] if kw <= high else amounts[2])

    expected = world.demand(
        lambda _: True, "mean-of-daily-peaks", 3, Fraction(0), world.seconds, "month", step, "month"
    )
    assert exact(bill(world, source)) == expected


@quick
@given(worlds(), st.data())
def test_a_series_of_prices_negative_ones_included(world: World, data: st.DataObject) -> None:
    step = data.draw(st.sampled_from([world.seconds, 3600]))
    count = -(-(world.end - world.begin) // step) + 1
    some = data.draw(st.lists(money(-(10**6)), min_size=1, max_size=20))
    prices = [some[i % len(some)] for i in range(count)]
    begin = world.begin // step * step
    start = datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = ", ".join(f'"{price}"' for price in prices)
    source = f"""[[charge]]
name = "spot"
kind = "series"
begin = {start}
step = "{step // 60}min"
prices = [{listed}]
"""
    expected = sum(
        (Fraction(prices[(s - begin) // step]) * use / 1000 for s, use in world.known()),
        Fraction(0),
    )
    assert exact(bill(world, source)) == expected


@quick
@given(worlds(), money(), money(), money())
def test_events_take_the_place_of_the_usual_band(
    world: World, day: Decimal, night: Decimal, event: Decimal
) -> None:
    first = world.local(world.begin).date() + timedelta(1)
    events = [first + timedelta(n) for n in (0, 3, 5)]
    at = ", ".join(f'"{one} 17:00-21:00"' for one in events)
    source = f"""[[charge]]
name = "energy"
kind = "energy"
{PEAK_BANDS.format(f'price = "{day}"', f'price = "{night}"')}
[[charge.event]]
name = "critical"
price = "{event}"
at = [{at}]
"""

    def price(local: datetime) -> Fraction:
        if local.date() in events and 17 <= local.hour < 21:
            return Fraction(event)
        return Fraction(day if peak(local) else night)

    assert exact(bill(world, source)) == world.energy(price)


@quick
@given(worlds(max_days=20), money(), money(), st.data())
def test_feed_in_is_credited_from_the_export_register(
    world: World, price: Decimal, credit: Decimal, data: st.DataObject
) -> None:
    some = data.draw(st.lists(st.integers(0, 4000), min_size=1, max_size=9))
    export: list[int | None] = [some[i % len(some)] for i in range(len(world.use))]
    source = f"""
[[charge]]
name = "energy"
kind = "energy"
price = "{price}"
[[charge]]
name = "feed-in"
kind = "feed-in"
price = "{credit}"
"""
    out = World(world.zone, world.begin, world.seconds, [
        None if use is None else sent for use, sent in zip(world.use, export, strict=True)
    ])  # fmt: skip
    expected = world.energy(lambda _: Fraction(price)) - out.energy(lambda _: Fraction(credit))
    assert exact(bill(world, source, export)) == expected
    if any(use is not None for use in world.use):
        with pytest.raises(UnbillableReadings, match="feed-in"):
            bill(world, source)


@settings(deadline=None, max_examples=30)
@given(worlds(max_days=40), money(), money(), st.data())
def test_steps_in_order(world: World, price: Decimal, base: Decimal, data: st.DataObject) -> None:
    percents = [Decimal(data.draw(st.integers(0, 10**6))).scaleb(-4) for _ in range(3)]
    cap, least, per_kwh = (data.draw(money()) for _ in range(3))
    cap, least = cap * 50, least * 20
    source = f"""
[[charge]]
name = "energy"
kind = "energy"
price = "{price}"
rounding = {{ rule = "half-up", decimals = 3 }}
[[charge]]
name = "base"
kind = "standing"
per_day = "{base}"
[[step]]
name = "discount"
kind = "rebate"
percent = "{percents[0]}"
on = ["energy"]
[[step]]
name = "duty"
kind = "tax"
percent = "{percents[1]}"
on = ["energy", "discount"]
[[step]]
name = "brake"
kind = "cap"
per_kwh = "{per_kwh}"
on = ["energy"]
[[step]]
name = "cap"
kind = "cap"
per_month = "{cap}"
[[step]]
name = "minimum"
kind = "minimum"
per_bill = "{least}"
[[step]]
name = "VAT"
kind = "tax"
percent = "{percents[2]}"
rounding = {{ rule = "down", decimals = 2 }}
"""
    rates = [Fraction(percent) / 100 for percent in percents]
    energy = nano_rounded(world.energy(lambda _: Fraction(price)), "half-up", Fraction(1, 1000))
    standing = world.fixed(Fraction(base), "day")
    discount = -energy * rates[0]
    duty = (energy + discount) * rates[1]
    kwh = Fraction(sum(use for _, use in world.known()), 1000)
    brake = min(Fraction(0), Fraction(per_kwh) * kwh - energy)
    total = energy + standing + discount + duty + brake
    total += min(Fraction(0), world.fixed(Fraction(cap), "month") - total)
    total += max(Fraction(0), world.fixed(Fraction(least), "period") - total)
    total += nano_rounded(total * rates[2], "down", Fraction(1, 100))
    assert exact(bill(world, source)) == total


def simple(world: World, more: str = "", missing: str = "") -> Tariff:
    head_text = head(world, f'missing = "{missing}"' if missing else "")
    return load_toml(
        head_text + '[[charge]]\nname = "energy"\nkind = "energy"\nprice = "0.25"\n' + more
    )


FORTNIGHT = World("UTC", 1704067200, 3600, [i % 700 for i in range(14 * 24)])


def test_a_tariff_can_refuse_to_bill_a_period_with_missing_slots() -> None:
    use = list(FORTNIGHT.use)
    use[200] = None
    with pytest.raises(UnbillableReadings, match="no period with missing slots; 1 are, the first"):
        compute_bill(simple(FORTNIGHT, missing="refuse"), FORTNIGHT.starts, 3600, use)
    compute_bill(simple(FORTNIGHT, missing="refuse"), FORTNIGHT.starts, 3600, FORTNIGHT.use)


def test_a_tariff_can_bill_a_missing_slot_as_the_one_a_week_before() -> None:
    use = list(FORTNIGHT.use)
    use[200] = use[20] = use[300] = use[300 - 168] = None
    found = compute_bill(simple(FORTNIGHT, missing="week-before"), FORTNIGHT.starts, 3600, use)
    starts = FORTNIGHT.starts
    assert found.substitutions == ((starts[200], starts[32]),)
    assert found.missing_slots == (starts[20], starts[132], starts[300])
    energy = sum(one for one in use if one is not None) + 32
    assert exact(found) == Fraction(energy, 4000)
    assert not found.complete


def test_a_limit_of_power_that_splits_a_watt_hour_is_refused() -> None:
    world = World("UTC", 1704067200, 900, [100])
    source = '[[charge]]\nname = "x"\nkind = "blocks"\nblock = [{ up_to_kw = "0.001",'
    with pytest.raises(UnbillableReadings, match="charge x: a limit of power makes no whole"):
        bill(world, source + ' price = "1" }, { price = "2" }]')


def test_slots_that_do_not_fill_the_demand_window_are_refused() -> None:
    source = '[[charge]]\nname = "x"\nkind = "demand"\nprice_per_kw = "1"\nwindow = "45min"'
    with pytest.raises(UnbillableReadings, match="slots of 1800 s do not fill the window of 2700"):
        bill(World("UTC", 1704067200, 1800, [100]), source)


def test_a_slot_that_a_series_lacks_is_refused_by_name() -> None:
    source = (
        '[[charge]]\nname = "spot"\nkind = "series"\nbegin = 2024-01-01T00:00:00Z\nstep = "1h"\n'
        'prices = ["0.1", "0.2"]'
    )
    assert exact(bill(World("UTC", 1704067200, 3600, [1000, 1000]), source)) == Fraction("0.3")
    for begin, seconds, count, reason in (
        (1704067200 - 3600, 3600, 1, "no price at 2023-12-31T23:00:00Z"),
        (1704067200, 3600, 3, "no price at 2024-01-01T02:00:00Z"),
        (1704067200, 7200, 1, "has several prices"),
        (1704067200 + 1800, 3600, 1, "has several prices"),
        (1704067200 + 5400, 3600, 1, "no price at"),
    ):
        with pytest.raises(UnpricedSlot, match=reason) as caught:
            bill(World("UTC", begin, seconds, [1] * count), source)
        assert caught.value.component == "charge spot"


@pytest.mark.parametrize(
    "more",
    [
        '[[charge]]\nname = "x"\nkind = "blocks"\ninterval = "day"\n'
        'block = [{ up_to = "1", price = "1" }, { price = "2" }]',
        '[[charge]]\nname = "x"\nkind = "demand"\nprice_per_kw = "1"',
        '[[charge]]\nname = "x"\nkind = "feed-in"\nprice = "1"',
    ],
)
def test_a_tariff_with_other_charges_has_no_price_for_a_slot(more: str) -> None:
    tariff = simple(FORTNIGHT, more)
    with pytest.raises(TariffError, match="charge x: it has no price for a slot by itself"):
        tariff.prices(FORTNIGHT.starts, 3600)
