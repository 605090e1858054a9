# SPDX-License-Identifier: Apache-2.0
"""A language's texts and its way of writing numbers, money and time."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, format_percent

from hub.inspection.views.money import Money

LOCALES: Final = {"en": "en_GB", "de": "de_DE", "it": "it_IT", "fr": "fr_FR"}
LANGUAGES: Final = tuple(LOCALES)
MOST_PREFERENCES: Final = 20

Length = Literal["short", "medium", "long", "full"]


class UnknownText(KeyError):
    """No catalogue has a text of that name: a bug of ours."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language. Nothing it writes is rounded but to be shown."""

    language: str
    texts: Mapping[str, str] = field(repr=False)
    locale: Locale = field(repr=False)

    def t(self, key: str, **values: object) -> str:
        """Return the text of that name with its placeholders filled."""
        try:
            text = self.texts[key]
        except KeyError:
            raise UnknownText(key) from None
        return text.format_map(values)

    def n(self, key: str, number: int, **values: object) -> str:
        """Return the plural form of a text for a number, which its `{n}` is."""
        form = self.locale.plural_form(number)
        name = f"{key}.{form}" if f"{key}.{form}" in self.texts else f"{key}.other"
        return self.t(name, n=self.number(number), **values)

    def number(self, value: int | Decimal, decimals: int = 0) -> str:
        """Return a number with so many decimals, grouped."""
        pattern = "#,##0." + "0" * decimals if decimals else "#,##0"
        return format_decimal(Decimal(value), format=pattern, locale=self.locale)

    def energy(self, watt_hours: int | None, decimals: int = 3) -> str:
        """Return energy in kWh; an unknown one as a dash."""
        if watt_hours is None:
            return "–"
        return f"{self.number(Decimal(watt_hours).scaleb(-3), decimals)}\N{NO-BREAK SPACE}kWh"

    def power(self, watts: int) -> str:
        """Return power in W."""
        return f"{self.number(watts)}\N{NO-BREAK SPACE}W"

    def money(self, money: Money | None, decimals: int = 2) -> str:
        """Return an amount with its currency; an unknown one as a dash."""
        if money is None:
            return "–"
        return self.amount(Decimal(money.rounded(decimals)), money.currency, decimals)

    def amount(self, amount: Decimal, currency: str, decimals: int = 2) -> str:
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

    def share(self, ppm: int, decimals: int = 1) -> str:
        """Return millionths as a percentage with its sign."""
        places = "." + "0" * decimals if decimals else ""
        value = Decimal(ppm).scaleb(-6)
        pattern = str(self.locale.percent_formats[None].pattern).replace("0", f"0{places}", 1)
        return format_percent(value, format=f"+{pattern};-{pattern}", locale=self.locale)

    def day(self, day: date, length: Length = "medium") -> str:
        """Return a day."""
        return format_date(day, length, locale=self.locale)

    def month(self, day: date) -> str:
        """Return a day's month and year."""
        return format_date(day, "LLLL y", locale=self.locale)

    def weekday(self, day: date) -> str:
        """Return a day's name."""
        return format_date(day, "EEEE", locale=self.locale)

    def clock(self, time: int, zone: tzinfo) -> str:
        """Return the local time of day of a moment."""
        return format_time(datetime.fromtimestamp(time, UTC), "HH:mm", zone, self.locale)

    def moment(self, time: int, zone: tzinfo, length: Length = "medium") -> str:
        """Return a moment as local date and time."""
        return format_datetime(datetime.fromtimestamp(time, UTC), length, zone, self.locale)


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of a language; raise `UnknownText` for one there is none of."""
    if language not in LOCALES:
        raise UnknownText(f"no catalogue for {language!r}")
    texts: dict[str, str] = {}
    for name in (f"{language}.toml", f"pages.{language}.toml"):
        text = (files(__package__) / name).read_text(encoding="utf-8")
        texts |= _flat(tomllib.loads(text))
    return Catalogue(language, texts, Locale.parse(LOCALES[language]))


def best_language(accepted: str) -> str:
    """Return the language that an Accept-Language header prefers (RFC 9110, 12.5.4)."""
    wanted: list[tuple[int, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:MOST_PREFERENCES]):
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(weight.strip())
        if language in LOCALES and quality:
            wanted.append((-quality, place, language))
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


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = str(value)
    return found
