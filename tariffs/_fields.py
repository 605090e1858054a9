# SPDX-License-Identifier: Apache-2.0
"""Typed access to the maps of a decoded document: each key is read once, none is left over."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar, cast

from tariffs._canonical import Value
from tariffs.errors import MalformedTariff

__all__ = ["Fields"]

T = TypeVar("T", int, str, bytes)
E = TypeVar("E", bound=StrEnum)


class Fields:
    """A map that must hold exactly the keys that are asked for."""

    def __init__(self, value: Value, what: str) -> None:
        if not isinstance(value, Mapping):
            raise MalformedTariff(f"{what} is not a map")
        self._items = dict(value)
        self._what = what

    def _pop(self, key: str) -> Value:
        if key not in self._items:
            raise MalformedTariff(f"{self._what} lacks {key}")
        return self._items.pop(key)

    def _typed(self, key: str, kind: type[T]) -> T:
        value = self._pop(key)
        if not isinstance(value, kind):
            raise MalformedTariff(f"{key} of {self._what} is not {kind.__name__}")
        return value

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def integer(self, key: str) -> int:
        """Return an integer."""
        return self._typed(key, int)

    def text(self, key: str) -> str:
        """Return a text."""
        return self._typed(key, str)

    def data(self, key: str) -> bytes:
        """Return a byte string."""
        return self._typed(key, bytes)

    def flag(self, key: str) -> bool:
        """Return a truth value, which a document writes as 0 or 1."""
        value = self.integer(key)
        if value not in (0, 1):
            raise MalformedTariff(f"{key} of {self._what} is neither 0 nor 1")
        return value == 1

    def map(self, key: str) -> Value:
        """Return a map, for `Fields` of its own."""
        return self._pop(key)

    def items(self, key: str) -> list[Value]:
        """Return an array."""
        value = self._pop(key)
        if not isinstance(value, list):
            raise MalformedTariff(f"{key} of {self._what} is not an array")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """Return an array of integers."""
        return cast("tuple[int, ...]", self._all(key, int))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of texts."""
        return cast("tuple[str, ...]", self._all(key, str))

    def _all(self, key: str, kind: type) -> tuple[Value, ...]:
        values = self.items(key)
        if not all(isinstance(value, kind) for value in values):
            raise MalformedTariff(f"{key} of {self._what} holds more than {kind.__name__}")
        return tuple(values)

    def choice(self, key: str, kind: type[E]) -> E:
        """Return the member of an enumeration of texts."""
        value = self.text(key)
        try:
            return kind(value)
        except ValueError:
            raise MalformedTariff(f"{key} of {self._what} is unknown: {value!r}") from None

    def named(self, key: str) -> list[tuple[str, Value]]:
        """Return the members of a map whose keys are texts."""
        value = self._pop(key)
        if not isinstance(value, Mapping):
            raise MalformedTariff(f"{key} of {self._what} is not a map")
        found = []
        for name, item in value.items():
            if not isinstance(name, str):
                raise MalformedTariff(f"{key} of {self._what} has a key that is not text")
            found.append((name, item))
        return found

    def pairs(self, key: str) -> tuple[tuple[int, int], ...]:
        """Return an array of pairs of integers."""
        return self._pairs(key, self.items(key))

    def pairs_of_each(self, key: str) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Return an array of arrays of pairs of integers."""
        result = []
        for value in self.items(key):
            if not isinstance(value, list):
                raise MalformedTariff(f"{key} of {self._what} holds more than arrays")
            result.append(self._pairs(key, value))
        return tuple(result)

    def _pairs(self, key: str, values: list[Value]) -> tuple[tuple[int, int], ...]:
        result = []
        for value in values:
            match value:
                case [int(first), int(second)]:
                    result.append((first, second))
                case _:
                    raise MalformedTariff(f"{key} of {self._what} holds more than pairs")
        return tuple(result)

    def triples(self, key: str) -> tuple[tuple[int, int, int], ...]:
        """Return an array of triples of integers."""
        result = []
        for value in self.items(key):
            match value:
                case [int(first), int(second), int(third)]:
                    result.append((first, second, third))
                case _:
                    raise MalformedTariff(f"{key} of {self._what} holds more than triples")
        return tuple(result)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._items:
            raise MalformedTariff(f"{self._what} has an unknown key {key!r}")
