# SPDX-License-Identifier: Apache-2.0
"""What the resident reads, in four languages, and numbers, money and dates as each writes them.

A catalogue is a TOML file a language, `en.toml` being the one the others are held against: tables
and keys, joined with dots, name a text (`states.missing`). Placeholders are written `{name}`. A
text with a number in it has a table of plural forms, `one` and `other`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Final

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, get_month_names
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, format_percent

from hub.description import Description
from hub.disclosure import ConsentTerms
from hub.disclosure.wording import consent_sentences
from hub.inspection.views.demand_items import DemandDetail
from hub.inspection.views.memory import CarriedAmount
from hub.inspection.views.money import Money
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Medium, Period, date_at, find_zone, medium_of
from sml_codec import Obis
from tariffs import Bill
from tariffs.bill import BillItem

LOCALES: Final = {"en": "en_GB", "de": "de_DE", "it": "it_IT", "fr": "fr_FR"}
LANGUAGES: Final = tuple(LOCALES)
MOST_PREFERENCES: Final = 20

PPM_DECIMALS: Final = 4
SHOWN_DECIMALS: Final = 4
RATE_UNITS: Final = {"Wh": "kWh", "W": "kW", "l": "m³"}
UNKNOWN: Final = "–"
MIDNIGHT: Final = datetime.min.time()


class UnknownText(KeyError):
    """No catalogue has a text of that name: a bug of ours."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language. Nothing it writes is rounded but to be shown; what is unknown is a dash."""

    language: str
    """Its code, as HTML names it."""
    texts: Mapping[str, str] = field(repr=False)
    locale: Locale = field(repr=False)
    zone: tzinfo = UTC
    """By whose clock times are shown."""
    days: tzinfo | None = None
    """Whose days are shown, as gas days from six to six; None: those of the clock."""
    medium: Medium = Medium.ELECTRICITY
    """What the meter measures whose amounts are shown."""
    prefix: str = ""
    """What the names of the texts begin with that `t` and `n` are asked for."""

    def for_pages(self, zone: tzinfo) -> "Catalogue":
        """Return the catalogue as the pages use it, with their own texts."""
        return replace(self, zone=zone, prefix="pages.")

    def for_meter(self, about: Description) -> "Catalogue":
        """Return the catalogue as it speaks of a meter: in its units, by its days."""
        return replace(
            self, zone=wall_zone(about.zone), days=find_zone(about.zone), medium=about.medium
        )

    @property
    def languages(self) -> dict[str, str]:
        """The languages there are, each in its own."""
        return {code: catalogue(code).t("language.name") for code in LANGUAGES}

    def t(self, key: str, /, **values: object) -> str:
        """Return the text of that name with its placeholders filled."""
        try:
            text = self.texts[self.prefix + key]
        except KeyError:
            raise UnknownText(key) from None
        return text.format_map(values)

    def n(self, key: str, number: int, /, **values: object) -> str:
        """Return the plural form of a text for a number, which its `{n}` is."""
        name = f"{key}.{self.locale.plural_form(number)}"
        if self.prefix + name not in self.texts:
            name = f"{key}.other"
        return self.t(name, n=self.number(number), **values)

    def meters_of(self, registers: Iterable[str]) -> str:
        """Return what people call the meters of registers, by their OBIS codes in text.

        Empty where these are of electricity alone, as most are. What is no code is passed over.
        """
        found = set[Medium]()
        for name in registers:
            with suppress(ValueError):
                found.add(medium_of(Obis.parse(name).code))
        media = sorted(found)
        if media in ([], [Medium.ELECTRICITY]):
            return ""
        return format_list([self.your_meter("", one) for one in media], locale=self.locale)

    # Numbers

    def number(self, value: int | Decimal, decimals: int = 0) -> str:
        """Return a number with so many decimals, grouped."""
        pattern = "#,##0." + "0" * decimals if decimals else "#,##0"
        return format_decimal(Decimal(value), format=pattern, locale=self.locale)

    def energy(self, watt_hours: int | None) -> str:
        """Return what a register of the meter counted, `watt_hours` or litres, in kWh or m³."""
        if watt_hours is None:
            return UNKNOWN
        if self.medium.counts_volume:
            return self.volume(watt_hours)
        return self.kilowatt_hours(watt_hours)

    def kilowatt_hours(self, watt_hours: int) -> str:
        """Return energy in kWh, to the watt-hour."""
        return f"{self.number(Decimal(watt_hours).scaleb(-3), 3)}\N{NO-BREAK SPACE}kWh"

    def volume(self, litres: int) -> str:
        """Return a volume in cubic metres, with three decimals."""
        return f"{self.number(Decimal(litres).scaleb(-3), 3)}\N{NO-BREAK SPACE}m³"

    def power(self, watts: int | None) -> str:
        """Return how much flows through the meter: `watts`, or litres in an hour."""
        if watts is None:
            return UNKNOWN
        if self.medium.counts_volume:
            return f"{self.number(watts)}\N{NO-BREAK SPACE}l/h"
        return self.watts(watts)

    def watts(self, watts: int) -> str:
        """Return power in W."""
        return f"{self.number(watts)}\N{NO-BREAK SPACE}W"

    # Meters

    @property
    def unit(self) -> str:
        """The unit of the meter's amounts."""
        return "m³" if self.medium.counts_volume else "kWh"

    @property
    def flow_key(self) -> str:
        """Ends the names of texts about how much flows: water has no power."""
        return "flow" if self.medium.counts_volume else "power"

    def meter(self, name: str, medium: Medium) -> str:
        """Return what people call a meter: by what it measures, and its name where that is more."""
        measured = replace(self, prefix="").t(f"medium.{medium.name.lower()}")
        return measured if _says_no_more(name, medium) else f"{name} ({measured})"

    def your_meter(self, name: str, medium: Medium) -> str:
        """Return what a further meter is called in a sentence: `your gas meter`."""
        more = "" if _says_no_more(name, medium) else name
        words = replace(self, prefix="")
        return words.t(f"your_meter.{medium.name.lower()}", name=more).strip()

    def share(self, ppm: int | None) -> str:
        """Return millionths as a percentage with its sign."""
        if ppm is None:
            return UNKNOWN
        pattern = str(self.locale.percent_formats[None].pattern).replace("0", "0.0", 1)
        value = Decimal(ppm).scaleb(-6)
        return format_percent(value, format=f"+{pattern};-{pattern}", locale=self.locale)

    # Money

    def money(self, money: Money | None, decimals: int = 2) -> str:
        """Return an amount with its currency."""
        if money is None:
            return UNKNOWN
        return self.amount(Decimal(money.rounded(decimals)), money.currency, decimals)

    def amount(self, amount: Decimal, currency: str, decimals: int) -> str:
        """Return an amount that is rounded already."""
        places = "." + "0" * decimals if decimals else ""
        pattern = str(self.locale.currency_formats["standard"].pattern)
        head, _, rest = pattern.partition("0.00")
        return format_currency(
            amount,
            currency,
            format=f"{head}0{places}{rest}",
            locale=self.locale,
            currency_digits=False,
        )

    def exact(self, text: str, currency: str) -> str:
        """Return an amount that a bill has rounded, as `127.46`, with all its decimals."""
        amount = Decimal(text)
        return self.amount(amount, currency, _places(amount))

    def signed(self, text: str, currency: str) -> str:
        """Return a difference between amounts, with its sign."""
        sign = "+" if Decimal(text) > 0 else ""
        return sign + self.exact(text, currency)

    def fraction(self, difference: Fraction | None, currency: str) -> str:
        """Return an exact difference, to four decimals."""
        if difference is None:
            return UNKNOWN
        amount = Decimal(round(difference * 10**SHOWN_DECIMALS)).scaleb(-SHOWN_DECIMALS)
        return self.amount(amount, currency, SHOWN_DECIMALS)

    def item_quantity(self, item: BillItem) -> str:
        """Return of how much a bill's item is; empty where it is of no quantity."""
        if item.quantity is None:
            return ""
        match item.unit:
            case "Wh":
                return self.kilowatt_hours(item.quantity)
            case "l":
                return self.volume(item.quantity)
            case "W":
                return self.watts(item.quantity)
            case "":
                return self.number(item.quantity)
            case unit:
                return self.n(f"unit.{unit}", item.quantity)

    def item_rate(self, item: BillItem, currency: str) -> str:
        """Return a bill item's price a unit, with the decimals it has, at least two, or its tax."""
        if item.rate is None:
            return ""
        if item.kind in ("tax", "rebate"):
            percent = Decimal(item.rate).scaleb(-PPM_DECIMALS).normalize()
            return f"{self.number(percent, _places(percent))} %"
        price = self.micro(item.rate, currency)
        unit = RATE_UNITS.get(item.unit, item.unit)
        name = unit if unit in RATE_UNITS.values() or not unit else self.t(f"per.{unit}")
        return f"{price}/{name}" if name else price

    def item_amount(self, item: BillItem, bill: Bill) -> str:
        """Return what a bill's item comes to, to a hundredth of a cent."""
        return self.money(Money.of_item(bill, item), SHOWN_DECIMALS)

    def carried(self, one: CarriedAmount) -> str:
        """Return a value that a bill leaves for the next one."""
        match one.unit:
            case "Wh":
                return self.kilowatt_hours(one.value)
            case "l":
                return self.volume(one.value)
            case "W":
                return self.watts(one.value)
            case currency if one.owed_to:
                amount = self.micro(abs(one.value), currency)
                return self.t(f"bill.owed_to_{one.owed_to}", amount=amount)
            case currency:
                return self.micro(one.value, currency)

    def demand(self, one: DemandDetail) -> str:
        """Return what a power billed is made of, and what its price is for."""
        share = Decimal(one.share_ppm).scaleb(-PPM_DECIMALS).normalize()
        figure = self.t(
            f"bill.demand_{one.rule or 'own'}",
            n=one.before, all=one.before + 1, share=self.number(share, _places(share)),
        )  # fmt: skip
        name = f"{one.component} {one.label}".strip()
        per = self.t(f"per.{one.per}")
        return self.t(
            "bill.demand", name=name, power=self.watts(one.watts), figure=figure, per=per,
            times=one.times,
        )  # fmt: skip

    def micro(self, amount: int, currency: str) -> str:
        """Return an amount of 10^-6 of the currency, with the decimals it has, at least two."""
        exact = Decimal(amount).scaleb(-6).normalize()
        return self.amount(exact, currency, max(2, _places(exact)))

    def carried_of(self, one: CarriedAmount) -> str:
        """Return of which charge or step, band and time it is."""
        since = None if one.since is None else self.t("bill.carried_since", day=self.day(one.since))
        return ", ".join(part for part in (one.component, one.band, since) if part)

    # Time

    def day(self, day: date) -> str:
        """Return a day."""
        return format_date(day, locale=self.locale)

    def date_of(self, time: int) -> date:
        """Return the day that a moment is in, of those that are shown."""
        return date_at(time, self.days or self.zone)

    def begins_day(self, time: int) -> bool:
        """Tell whether such a day begins at a moment."""
        return (
            datetime.fromtimestamp(time, UTC).astimezone(self.days or self.zone).time() == MIDNIGHT
        )

    def day_of(self, time: int) -> str:
        """Return the local day of a moment."""
        return self.day(self.date_of(time))

    def short_day(self, time: int) -> str:
        """Return weekday and day of the month of a moment."""
        return format_date(self.date_of(time), "EEE d", locale=self.locale)

    def iso_day(self, time: int) -> str:
        """Return the local day of a moment as addresses have it."""
        return self.date_of(time).isoformat()

    def month_name(self, time: int) -> str:
        """Return the short name of a moment's month."""
        names = get_month_names("abbreviated", locale=self.locale)
        return str(names[self.date_of(time).month])

    def month(self, day: date) -> str:
        """Return a day's month and year."""
        return format_date(day, "LLLL y", locale=self.locale)

    def month_year(self, time: int) -> str:
        """Return the local month of a moment, with its year."""
        return self.month(self.date_of(time))

    def clock(self, time: int) -> str:
        """Return the local time of day of a moment."""
        return format_time(datetime.fromtimestamp(time, UTC), "HH:mm", self.zone, self.locale)

    def moment(self, time: int) -> str:
        """Return a moment as local date and time."""
        moment = datetime.fromtimestamp(time, UTC)
        return format_datetime(moment, tzinfo=self.zone, locale=self.locale)

    def minute(self, time: int) -> str:
        """Return a moment as local date and time of day, to the minute."""
        return f"{self.day(date_at(time, self.zone))}, {self.clock(time)}"

    def period(self, period: Period) -> str:
        """Return a period of days: a day, month, quarter, year, or from when to when."""
        first, last = period.first, period.last
        if first == last:
            return format_date(first, "full", locale=self.locale)
        if period == Period.month(first.year, first.month):
            return self.month(first)
        if period == Period.year(first.year):
            return str(first.year)
        if period == Period.quarter(first.year, (first.month + 2) // 3):
            return str(format_date(first, "QQQQ y", locale=self.locale))
        return f"{self.day(first)} – {self.day(last)}"

    def span(self, begin: int, end: int) -> str:
        """Return the days that [begin, end) touches."""
        return self.period(Period(self.date_of(begin), self.date_of(end - 1)))

    def consent(self, terms: ConsentTerms) -> str:
        """Return what a consent allows."""
        return " ".join(self.consent_sentences(terms))

    def consent_sentences(self, terms: ConsentTerms) -> list[str]:
        """Return what a consent allows, sentence by sentence."""
        return consent_sentences(terms, self.language, self.day)


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of a language; raise `UnknownText` for one there is none of."""
    if language not in LOCALES:
        raise UnknownText(f"no catalogue for {language!r}")
    texts: dict[str, str] = {}
    for name in (f"{language}.toml", f"pages.{language}.toml", f"reasons.{language}.toml"):
        text = (files(__package__) / name).read_text(encoding="utf-8")
        texts |= _flat(tomllib.loads(text))
    return Catalogue(language, texts, Locale.parse(LOCALES[language]))


def best_language(accepted: str) -> str:
    """Return the language that an Accept-Language header prefers (RFC 9110, 12.5.4)."""
    wanted: list[tuple[int, int, str]] = []
    for position, part in enumerate(accepted.split(",")[:MOST_PREFERENCES]):
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(weight.strip())
        if language in LOCALES and quality:
            wanted.append((-quality, position, language))
    return min(wanted)[2] if wanted else LANGUAGES[0]


def _quality(weight: str) -> int:
    """Return a weight `q=0.8` in thousandths; 0 for one that is none."""
    if not weight:
        return 1000
    name, _, value = weight.partition("=")
    whole, _, rest = value.partition(".")
    digits = whole + rest.ljust(3, "0")
    if name.strip().lower() != "q" or len(digits) != 4 or not digits.isascii():
        return 0
    return min(int(digits), 1000) if digits.isdigit() else 0


def _says_no_more(name: str, medium: Medium) -> bool:
    """Tell whether a meter's name says no more than what it measures; the hub's own has none."""
    usual = {str(medium).replace(" ", "-"), *(["water"] if medium is Medium.COLD_WATER else [])}
    return not name or name in usual


def _places(amount: Decimal) -> int:
    """Return how many decimals an amount is written with."""
    return max(0, -int(amount.as_tuple().exponent))


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            texts |= _flat(value, f"{prefix}{key}.")
        else:
            texts[prefix + key] = str(value)
    return texts
