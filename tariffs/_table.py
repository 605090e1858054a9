# SPDX-License-Identifier: Apache-2.0
"""Typed access to a TOML table that knows its lines: each key is read once, none is left over."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from fractions import Fraction
from typing import Any, TypeVar

from tariffs._toml_lines import Path
from tariffs.errors import MalformedTariff
from tariffs.rounding import parse_decimal

T = TypeVar("T")


class TomlTable:
    """A table of a TOML text; whatever is wrong with it is told with its line."""

    def __init__(
        self, items: Mapping[str, Any], path: Path, lines: Mapping[Path, int], source: str
    ) -> None:
        self._items = dict(items)
        self._path = path
        self._lines = lines
        self._source = source

    @contextmanager
    def at(self, key: str | None = None, *, component: str | None = None) -> Iterator[None]:
        """Locate errors raised inside at a key, or at the table itself."""
        try:
            yield
        except MalformedTariff as error:
            if component is not None:
                error.within(component)
            path = self._path if key is None else (*self._path, key)
            while path not in self._lines:
                path = path[:-1]
            error.located(self._source, self._lines[path])
            raise

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def _take(self, key: str, kind: type[T], what: str) -> T:
        with self.at():
            if key not in self._items:
                raise MalformedTariff(f"{key!r} is missing")
        value = self._items.pop(key)
        with self.at(key):
            if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
                raise MalformedTariff(f"{key!r} is not {what}")
        return value

    def text(self, key: str) -> str:
        """Return a text."""
        return self._take(key, str, "a text")

    def integer(self, key: str) -> int:
        """Return an integer."""
        return self._take(key, int, "a whole number")

    def flag(self, key: str) -> bool:
        """Return true or false; false without the key."""
        return key in self and self._take(key, bool, "true or false")

    def choice(self, key: str, choices: Mapping[str, T], default: T | None = None) -> T:
        """Return what one of a few words stands for."""
        if default is not None and key not in self:
            return default
        word = self.text(key)
        with self.at(key):
            if word not in choices:
                raise MalformedTariff(f"{key!r} is {word!r}, not one of {', '.join(choices)}")
        return choices[word]

    def day(self, key: str) -> date:
        """Return a date, written without quotes."""
        value = self._take(key, date, "a date such as 2025-01-01")
        with self.at(key):
            if isinstance(value, datetime):
                raise MalformedTariff(f"{key!r} has a time of day: give the date alone")
        return value

    def moment(self, key: str) -> int:
        """Return a date and time with an offset, in epoch seconds."""
        value = self._take(key, datetime, "a time such as 2025-01-01T00:00:00Z")
        with self.at(key):
            if value.tzinfo is None or value.microsecond:
                raise MalformedTariff(f"{key!r} has no offset from UTC, or parts of a second")
        return int(value.timestamp())

    def days(self, key: str) -> list[date]:
        """Return a list of dates, empty without the key."""
        if key not in self:
            return []
        values = self._take(key, list, "a list of dates")
        for number, value in enumerate(values):
            if not isinstance(value, date) or isinstance(value, datetime):
                raise self._at_element(key, number, f"{key!r} holds {value!r}, which is no date")
        return values

    def decimal(self, key: str, decimals: int) -> int:
        """Return a decimal written as a text, in units of 10^-`decimals`."""
        value = self._take(key, str, 'a decimal in quotes, such as "0.3012"')
        with self.at(key, component=None):
            return parse_decimal(value, decimals)

    def optional_decimal(self, key: str, decimals: int, default: int) -> int:
        """Return a decimal, or the default without the key."""
        return self.decimal(key, decimals) if key in self else default

    def fraction(self, key: str, default: int) -> Fraction:
        """Return a decimal of any length, exactly; or the default without the key."""
        return Fraction(self.decimal(key, 12), 10**12) if key in self else Fraction(default)

    def parsed(self, key: str, parse: Callable[[str], T]) -> T:
        """Return what a text is parsed to."""
        value = self.text(key)
        with self.at(key):
            return parse(value)

    def one_of(self, choices: Mapping[str, T]) -> tuple[str, T]:
        """Return the one key that is there of several that exclude each other."""
        with self.at():
            there = [key for key in choices if key in self]
            if len(there) != 1:
                raise MalformedTariff(f"there is not one of {', '.join(choices)}")
        return there[0], choices[there[0]]

    def words(self, key: str, parse: Callable[[str], T]) -> list[T]:
        """Return what each text of a list, or the one text, is parsed to."""
        values = self._items.get(key)
        if isinstance(values, str):
            self._items.pop(key)
            with self.at(key):
                return [parse(values)]
        values = self._take(key, list, "a text or a list of texts")
        parsed = []
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise self._at_element(key, number, f"{key!r} holds {value!r}, which is no text")
            try:
                parsed.append(parse(value))
            except MalformedTariff as error:
                error.located(self._source, self._line_of(key, number))
                raise
        return parsed

    def table(self, key: str) -> "TomlTable":
        """Return a table within."""
        value = self._take(key, dict, "a table")
        return TomlTable(value, (*self._path, key), self._lines, self._source)

    def tables(self, key: str) -> list["TomlTable"]:
        """Return the tables of a list, or the one table; none without the key."""
        if key not in self:
            return []
        if isinstance(self._items[key], dict):
            return [self.table(key)]
        tables = []
        for number, value in enumerate(self._take(key, list, "a list of tables")):
            if not isinstance(value, dict):
                raise self._at_element(key, number, f"{key!r} holds something else than tables")
            path = (*self._path, key, number)
            tables.append(TomlTable(value, path, self._lines, self._source))
        return tables

    def __iter__(self) -> Iterator[str]:
        """Go through the keys not read yet."""
        return iter(list(self._items))

    def _line_of(self, key: str, number: int) -> int:
        path: Path = (*self._path, key, number)
        return self._lines.get(path, self._lines.get(path[:-1], 1))

    def _at_element(self, key: str, number: int, reason: str) -> MalformedTariff:
        return MalformedTariff(reason).located(self._source, self._line_of(key, number))

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._items:
            with self.at(key):
                raise MalformedTariff(f"unknown key {key!r}")
