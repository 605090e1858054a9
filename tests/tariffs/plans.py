# SPDX-License-Identifier: Apache-2.0
"""Random time-of-use tariffs, and a second way to price them.

A `Plan` says for each season and kind of day which bands follow each other; hypothesis draws it.
`Plan.toml` writes it in the project's format. `Plan.price_at` and `Plan.bill` read it again,
slot by slot, with `datetime` and `Fraction`, and share no code with the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

KINDS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "holiday")
ZONES = ("Europe/Berlin", "Europe/London", "Australia/Sydney", "Australia/Lord_Howe")
SEASONS = (("04-01", "09-30"), ("10-01", "03-31"))
YEAR = 2024  # a leap year
ROUNDINGS = {"half-even": ROUND_HALF_EVEN, "half-up": ROUND_HALF_UP, "down": ROUND_DOWN}

Day = tuple[tuple[int, int], ...]
"""Until minute, band: in order, the last until 1440."""


@dataclass(frozen=True)
class Plan:
    zone: str
    standard: bool
    prices: tuple[Decimal, ...]
    days: tuple[tuple[Day, ...], ...]
    """By season, then by group of days."""
    groups: tuple[int, ...]
    """The group of each of KINDS."""
    holidays: frozenset[date]
    per_day: Decimal
    percent: Decimal
    rule: str
    decimals: int

    def toml(self) -> str:
        lines = [
            'format = 1\nname = "drawn"\nrevision = 1\ncurrency = "EUR"',
            f'zone = "{self.zone}"\nclock = "{"standard" if self.standard else "local"}"',
            f"valid_from = {YEAR}-01-01\nvalid_until = {YEAR + 1}-01-01",
            f'rounding = {{ rule = "{self.rule}", decimals = {self.decimals} }}',
            f"[holidays.drawn]\ndates = [{', '.join(map(str, sorted(self.holidays)))}]",
            "[seasons]",
            *(f's{i} = "{first} to {last}"' for i, (first, last) in enumerate(SEASONS)),
            '[[charge]]\nname = "energy"\nkind = "energy"\nholidays = "drawn"',
        ]
        for band, price in enumerate(self.prices):
            lines.append(f'[[charge.band]]\nname = "b{band}"\nprice = "{price}"\nwhen = [')
            for season, groups in enumerate(self.days):
                for group, day in enumerate(groups):
                    lines += self._rules(band, season, group, day)
            lines.append("]")
        lines += [
            f'[[charge]]\nname = "standing"\nkind = "standing"\nper_day = "{self.per_day}"',
            f'[[step]]\nname = "VAT"\nkind = "tax"\npercent = "{self.percent}"',
        ]
        return "\n".join(lines)

    def _rules(self, band: int, season: int, group: int, day: Day) -> list[str]:
        begins = [0, *(until for until, _ in day)]
        times = [
            f'"{begin // 60:02}:{begin % 60:02}-{until // 60:02}:{until % 60:02}"'
            for begin, (until, this) in zip(begins, day, strict=False)
            if this == band
        ]
        days = [f'"{kind}"' for kind, its in zip(KINDS, self.groups, strict=True) if its == group]
        if not times or not days:
            return []
        return [
            f'{{ season = "s{season}", days = [{", ".join(days)}], times = [{", ".join(times)}] }},'
        ]

    def used_bands(self) -> set[int]:
        return {
            band
            for groups in self.days
            for group, day in enumerate(groups)
            if group in self.groups
            for _, band in day
        }

    def local(self, moment: int) -> datetime:
        wall = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        if not self.standard:
            return wall.replace(tzinfo=None)
        offset, dst = wall.utcoffset(), wall.dst()
        assert offset is not None
        assert dst is not None
        return (wall.astimezone(UTC) + offset - dst).replace(tzinfo=None)

    def band_at(self, moment: int) -> int:
        local = self.local(moment)
        kind = 7 if local.date() in self.holidays else local.weekday()
        season = 0 if (4, 1) <= (local.month, local.day) <= (9, 30) else 1
        minute = local.hour * 60 + local.minute
        day = self.days[season][self.groups[kind]]
        return next(band for until, band in day if minute < until)

    def price_at(self, moment: int) -> Fraction:
        return Fraction(self.prices[self.band_at(moment)])

    def bill(self, starts: Sequence[int], use_wh: Sequence[int], days: int) -> Fraction:
        energy = sum(
            (
                self.price_at(start) * Fraction(use, 1000)
                for start, use in zip(starts, use_wh, strict=True)
            ),
            Fraction(0),
        )
        net = energy + days * Fraction(self.per_day)
        return net * (1 + Fraction(self.percent) / 100)

    def rounded(self, exact: Fraction) -> str:
        context = Context(prec=60, rounding=ROUNDINGS[self.rule])
        value = context.divide(Decimal(exact.numerator), Decimal(exact.denominator))
        rounded = value.quantize(Decimal(1).scaleb(-self.decimals), context=context)
        return f"{rounded or abs(rounded):f}"  # no minus before a zero


def local_days_halved(zone: str, begin: int, end: int) -> int:
    """Count local dates half over in [begin, end), walking the clock by quarters of an hour."""
    key, half = ZoneInfo(zone), 43_200
    walk = range(begin - half - 900, end - half, 900)
    dates = [datetime.fromtimestamp(t, key).date() for t in walk]
    return sum(before != after for before, after in pairwise(dates))


def prices(lowest: int = -(10**6)) -> st.SearchStrategy[Decimal]:
    return st.integers(lowest, 10**6).map(lambda micro: Decimal(micro).scaleb(-6))


@st.composite
def plans(draw: st.DrawFn, step_minutes: int = 30) -> Plan:
    bands = draw(st.integers(1, 4))
    cuts = st.lists(
        st.integers(1, 1440 // step_minutes - 1).map(lambda n: n * step_minutes),
        max_size=4,
        unique=True,
    )

    def day() -> Day:
        untils = [*sorted(draw(cuts)), 1440]
        return tuple((until, draw(st.integers(0, bands - 1))) for until in untils)

    groups = tuple(draw(st.lists(st.integers(0, 2), min_size=8, max_size=8)))
    days = tuple(tuple(day() for _ in range(3)) for _ in SEASONS)
    holidays = st.dates(date(YEAR, 1, 1), date(YEAR, 12, 31))
    plan = Plan(
        zone=draw(st.sampled_from(ZONES)),
        standard=draw(st.booleans()),
        prices=tuple(draw(prices()) for _ in range(bands)),
        days=days,
        groups=groups,
        holidays=frozenset(draw(st.lists(holidays, min_size=1, max_size=5))),
        per_day=draw(prices(0)),
        percent=Decimal(draw(st.integers(0, 10**6))).scaleb(-4),
        rule=draw(st.sampled_from(sorted(ROUNDINGS))),
        decimals=draw(st.integers(0, 6)),
    )
    return _without_idle_bands(plan)


def _without_idle_bands(plan: Plan) -> Plan:
    used = sorted(plan.used_bands())
    renumbered = {band: i for i, band in enumerate(used)}
    days = tuple(
        tuple(tuple((until, renumbered.get(band, 0)) for until, band in day) for day in groups)
        for groups in plan.days
    )
    return Plan(
        plan.zone, plan.standard, tuple(plan.prices[band] for band in used), days, plan.groups,
        plan.holidays, plan.per_day, plan.percent, plan.rule, plan.decimals,
    )  # fmt: skip


@st.composite
def moments(draw: st.DrawFn, slot_seconds: int) -> int:
    """A slot's start in YEAR, often on a day on which a clock changes."""
    turns = [date(YEAR, 3, 31), date(YEAR, 10, 27), date(YEAR, 4, 7), date(YEAR, 10, 6)]
    day = draw(st.sampled_from(turns) | st.dates(date(YEAR, 1, 3), date(YEAR, 12, 20)))
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    return int(midnight.timestamp()) + slot_seconds * draw(st.integers(0, 86400 // slot_seconds))
