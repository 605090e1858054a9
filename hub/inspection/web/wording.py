# SPDX-License-Identifier: Apache-2.0
"""The words of the pages: a catalogue's `pages.*`, and times in the meter's own zone."""

from dataclasses import dataclass
from datetime import date, tzinfo
from decimal import Decimal
from fractions import Fraction

from babel.dates import format_date, get_month_names
from jinja2 import Undefined

from hub.disclosure import ConsentTerms
from hub.disclosure.wording import consent_in_words
from hub.inspection.locales import LANGUAGES, Catalogue, best_language, catalogue
from hub.inspection.views.money import Money
from protocols.metrology import Period, date_at, find_zone


@dataclass(frozen=True, slots=True)
class Wording:
    """One language, and the zone in which times are shown."""

    catalogue: Catalogue
    zone: tzinfo

    @property
    def language(self) -> str:
        """Its code, as HTML names it."""
        return self.catalogue.language

    @property
    def languages(self) -> dict[str, str]:
        """The languages there are, each in its own."""
        return {code: catalogue(code).t("language.name") for code in LANGUAGES}

    def t(self, key: str, /, **values: object) -> str:
        """Return a text of the pages; a value that is not there is an error, not an empty word."""
        for name, value in values.items():
            if isinstance(value, Undefined):
                raise KeyError(f"{key}: no {name}")
        return self.catalogue.t(f"pages.{key}", **values)

    def n(self, key: str, number: int, /, **values: object) -> str:
        """Return the plural form of a text for a number."""
        return self.catalogue.n(f"pages.{key}", number, **values)

    def number(self, value: int | Decimal, decimals: int = 0) -> str:
        """Return a number, grouped."""
        return self.catalogue.number(value, decimals)

    def energy(self, watt_hours: int | None) -> str:
        """Return energy in kWh, to the watt-hour."""
        return self.catalogue.energy(watt_hours)

    def power(self, watts: int | None) -> str:
        """Return power in W; an unknown one as a dash."""
        return "–" if watts is None else self.catalogue.power(watts)

    def money(self, money: Money | None, decimals: int = 2) -> str:
        """Return an amount; an unknown one as a dash."""
        return self.catalogue.money(money, decimals)

    def exact(self, text: str, currency: str) -> str:
        """Return an amount that a bill has rounded, as `127.46`, with all its decimals."""
        amount = Decimal(text)
        return self.catalogue.amount(amount, currency, _places(amount))

    def fraction(self, difference: Fraction | None, currency: str) -> str:
        """Return an exact difference, to four decimals; an unknown one as a dash."""
        if difference is None:
            return "–"
        amount = Decimal(round(difference * 10**4)).scaleb(-4)
        return self.catalogue.amount(amount, currency, 4)

    def rate(self, micro: int, currency: str) -> str:
        """Return a price that is given in millionths, with the decimals it has, at least two."""
        amount = Decimal(micro).scaleb(-6).normalize()
        return self.catalogue.amount(amount, currency, max(2, _places(amount)))

    def share(self, ppm: int | None) -> str:
        """Return millionths as a percentage with its sign; unknown ones as a dash."""
        return "–" if ppm is None else self.catalogue.share(ppm)

    def day(self, day: date) -> str:
        """Return a day."""
        return self.catalogue.day(day)

    def long_day(self, day: date) -> str:
        """Return a day with its weekday."""
        return self.catalogue.day(day, "full")

    def day_of(self, time: int) -> str:
        """Return the local day of a moment."""
        return self.catalogue.day(date_at(time, self.zone))

    def moment(self, time: int) -> str:
        """Return a moment as local date and time."""
        return self.catalogue.moment(time, self.zone)

    def minute(self, time: int) -> str:
        """Return a moment as local date and time of day, to the minute."""
        return f"{self.day_of(time)}, {self.clock(time)}"

    def clock(self, time: int) -> str:
        """Return a moment's local time of day."""
        return self.catalogue.clock(time, self.zone)

    def short_day(self, time: int) -> str:
        """Return weekday and day of the month of a moment."""
        day = date_at(time, self.zone)
        return format_date(day, "EEE d", locale=self.catalogue.locale)

    def month_name(self, time: int) -> str:
        """Return the short name of a moment's month."""
        names = get_month_names("abbreviated", locale=self.catalogue.locale)
        return str(names[date_at(time, self.zone).month])

    def iso_day(self, time: int) -> str:
        """Return the local day of a moment as addresses have it."""
        return date_at(time, self.zone).isoformat()

    def month_year(self, time: int) -> str:
        """Return the local month of a moment, with its year."""
        return self.catalogue.month(date_at(time, self.zone))

    def period(self, period: Period) -> str:
        """Return a period of days: a day, a month, a year, or from when to when."""
        first, last = period.first, period.last
        if first == last:
            return self.long_day(first)
        if period == Period.month(first.year, first.month):
            return self.catalogue.month(first)
        if period == Period(date(first.year, 1, 1), date(first.year, 12, 31)):
            return str(first.year)
        return f"{self.day(first)} – {self.day(last)}"

    def consent(self, terms: ConsentTerms) -> str:
        """Return what a consent allows."""
        return consent_in_words(terms, self.language, self.day)

    def span(self, begin: int, end: int) -> str:
        """Return the days that [begin, end) touches."""
        return self.period(Period(date_at(begin, self.zone), date_at(end - 1, self.zone)))


def choose(chosen: str | None, accepted: str, zone: str) -> Wording:
    """Return the wording somebody chose, or what their browser asks for."""
    language = chosen if chosen in LANGUAGES else best_language(accepted)
    return Wording(catalogue(str(language)), find_zone(zone))


def _places(amount: Decimal) -> int:
    """Return how many decimals an amount is written with."""
    return max(0, -int(amount.as_tuple().exponent))
