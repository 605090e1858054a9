# SPDX-License-Identifier: Apache-2.0
"""Tables of a manifest, read strictly: every key is taken once, and none is left over.

A reader is a function that returns what a value means or raises `ValueError`; the table turns that
into a `ManifestError` that names the key. Defaults are those of the dataclass that is made.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar, cast

from hub.machine.errors import ManifestError

T = TypeVar("T")


class Table:
    """A table being read; every key must be taken, and known."""

    def __init__(self, name: str, table: object) -> None:
        if not isinstance(table, Mapping):
            raise ManifestError(name, "must be a table")
        self._name, self._left = name, dict(table)

    def make(self, cls: type[T], **readers: Callable[[Any], Any]) -> T:
        """Return the dataclass whose fields the keys are; one left out has the field's default."""
        optional = {each.name for each in fields(cast("Any", cls)) if each.default is not MISSING}
        values: dict[str, Any] = {}
        for key, read in readers.items():
            if key in self._left:
                try:
                    values[key] = read(self._left.pop(key))
                except ValueError as error:
                    raise ManifestError(self._path(key), str(error)) from None
            elif key not in optional:
                raise ManifestError(self._path(key), "missing")
        for key in self._left:
            raise ManifestError(self._path(key), "unknown key")
        return cls(**values)

    def _path(self, key: object) -> str:
        return f"{self._name}.{key}" if self._name else str(key)


def text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 120 or not value.isprintable():
        raise ValueError("must be 1 to 120 printable characters")
    return value


def pattern(form: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(f"{value!r} does not match {form.pattern}")
        return value

    return read


def between(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return read


def day(value: object) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return date.fromisoformat(value)
    raise ValueError("must be a date, like 2030-12-31")


EnumT = TypeVar("EnumT", bound=StrEnum)


def member(kind: type[EnumT]) -> Callable[[object], EnumT]:
    def read(value: object) -> EnumT:
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"must be one of {', '.join(kind)}")
        return kind(value)

    return read


def each(name: str, read: Callable[[str, object], T]) -> Callable[[object], tuple[T, ...]]:
    def read_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) > 32:
            raise ValueError("must be at most 32 tables")
        return tuple(read(f"{name}[{index}]", item) for index, item in enumerate(value))

    return read_all


def names(form: re.Pattern[str]) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(set(map(str, value))) != len(value):
            raise ValueError("must be a list without repetitions")
        return tuple(map(pattern(form), value))

    return read


def some(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    def read_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= 32:
            raise ValueError("must be a list of 1 to 32")
        found = tuple(map(read, value))
        if len(set(found)) != len(found):
            raise ValueError("must be a list without repetitions")
        return found

    return read_all
