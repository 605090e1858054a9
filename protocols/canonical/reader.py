# SPDX-License-Identifier: Apache-2.0
"""Typed access to the maps of a decoded document: each key is read once, none is left over.

Every error names the map and the key. A package that has an error of its own for malformed
documents makes a subclass with it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, TypeVar, cast

from protocols.canonical.cbor import CborError, CborValue

T = TypeVar("T", int, str, bytes)
E = TypeVar("E", bound=StrEnum)


class MapReader:
    """A map that must hold exactly the keys that are taken."""

    error: ClassVar[type[Exception]] = CborError

    def __init__(self, value: CborValue, what: str) -> None:
        self._what = what
        if not isinstance(value, Mapping):
            raise self.error(f"{what} is not a map")
        self._items = dict(value)

    def _refuse(self, key: str, reason: str) -> Exception:
        return self.error(f"{key} of {self._what} {reason}")

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def value(self, key: str) -> CborValue:
        """Return what is there, for a reader of its own."""
        if key not in self._items:
            raise self.error(f"{self._what} lacks {key}")
        return self._items.pop(key)

    def _typed(self, key: str, kind: type[T]) -> T:
        value = self.value(key)
        if not isinstance(value, kind):
            raise self._refuse(key, f"is not {kind.__name__}")
        return value

    def integer(self, key: str) -> int:
        """Return an integer."""
        return self._typed(key, int)

    def text(self, key: str) -> str:
        """Return a text."""
        return self._typed(key, str)

    def data(self, key: str, size: int | None = None) -> bytes:
        """Return a byte string, of `size` bytes where that is given."""
        data = self._typed(key, bytes)
        if size not in (None, len(data)):
            raise self._refuse(key, f"has {len(data)} bytes, not {size}")
        return data

    def flag(self, key: str) -> bool:
        """Return a truth value, which a document writes as 0 or 1."""
        value = self.integer(key)
        if value not in (0, 1):
            raise self._refuse(key, "is neither 0 nor 1")
        return value == 1

    def choice(self, key: str, kind: type[E]) -> E:
        """Return the member of an enumeration of texts."""
        value = self.text(key)
        try:
            return kind(value)
        except ValueError:
            raise self._refuse(key, f"is unknown: {value!r}") from None

    def items(self, key: str) -> list[CborValue]:
        """Return an array."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self._refuse(key, "is not an array")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """Return an array of integers."""
        return cast("tuple[int, ...]", self._all(key, int))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return an array of texts."""
        return cast("tuple[str, ...]", self._all(key, str))

    def _all(self, key: str, kind: type) -> tuple[CborValue, ...]:
        values = self.items(key)
        if not all(isinstance(value, kind) for value in values):
            raise self._refuse(key, f"holds more than {kind.__name__}")
        return tuple(values)

    def named(self, key: str) -> list[tuple[str, CborValue]]:
        """Return the members of a map whose keys are texts."""
        value = self.value(key)
        if not isinstance(value, Mapping):
            raise self._refuse(key, "is not a map")
        if not all(isinstance(name, str) for name in value):
            raise self._refuse(key, "has a key that is not text")
        return [(str(name), item) for name, item in value.items()]

    def pairs(self, key: str) -> tuple[tuple[int, int], ...]:
        """Return an array of pairs of integers."""
        return cast("tuple[tuple[int, int], ...]", self._rows(key, self.items(key), 2))

    def pairs_of_each(self, key: str) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Return an array of arrays of pairs of integers."""
        rows = tuple(self._rows(key, item, 2) for item in self.items(key))
        return cast("tuple[tuple[tuple[int, int], ...], ...]", rows)

    def triples(self, key: str) -> tuple[tuple[int, int, int], ...]:
        """Return an array of triples of integers."""
        return cast("tuple[tuple[int, int, int], ...]", self._rows(key, self.items(key), 3))

    def _rows(self, key: str, values: CborValue, width: int) -> tuple[tuple[int, ...], ...]:
        rows = []
        for row in values if isinstance(values, list) else [None]:
            numbers = row if isinstance(row, list) else []
            if len(numbers) != width or not all(isinstance(number, int) for number in numbers):
                raise self._refuse(key, f"holds more than arrays of {width} integers")
            rows.append(tuple(numbers))
        return tuple(rows)

    def done(self) -> None:
        """Refuse keys that nobody took."""
        for key in self._items:
            raise self.error(f"{self._what} has an unknown key {key!r}")
