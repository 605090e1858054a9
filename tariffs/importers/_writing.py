# SPDX-License-Identifier: Apache-2.0
"""Writes TOML as people would, and reads the JSON that importers are given."""

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from protocols.canonical import foreign_text
from tariffs.errors import MalformedTariff

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_values

DAY_MINUTES: Final = 24 * 60


class Imported(dict[str, str]):
    """Sources by the tariff's name."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}
        """Of each tariff of the file that is no source: why."""


class Record(dict[str, Any]):
    """An object of a JSON text that knows which of its members were read."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self.seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a member, or the default."""
        self.seen.add(key)
        return super().get(key, default)

    def items(self) -> "dict_items[str, Any]":
        """Return all members, which are then read."""
        self.seen.update(self)
        return super().items()

    def values(self) -> "dict_values[str, Any]":
        """Return all values, which are then read."""
        self.seen.update(self)
        return super().values()


def unread(value: Any, words: Container[str], path: str = "") -> Iterator[str]:
    """Yield where a file says something that was not read; `words` names what is no price."""
    if isinstance(value, Record):
        for key, member in dict.items(value):
            place = f"{path}.{key}" if path else key
            if key in words or member in (None, "", 0):
                continue
            if key not in value.seen:
                yield place
            else:
                yield from unread(member, words, place)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from unread(member, words, f"{path}[{number}]")


ODD: Final = (TypeError, AttributeError, IndexError, ValueError, ArithmeticError)
"""What is raised where a member is of another kind than it should be."""


@contextmanager
def odd_members() -> Iterator[None]:
    """Refuse a tariff whose members are of other kinds than they should be."""
    try:
        yield
    except MalformedTariff:
        raise
    except ODD as error:
        raise MalformedTariff(f"it is not written as others are: {error}") from None


def refuse_unread(value: Any, words: Container[str]) -> None:
    """Refuse a tariff of which a part would be lost."""
    lost = list(unread(value, words))
    if lost:
        raise MalformedTariff(f"no source can say {', '.join(map(repr, lost[:5]))}")


def read_json(text: str) -> Any:
    """Return the value of a JSON text; numbers with a point are `Decimal`, exactly as written."""
    try:
        return foreign_text.read_json(text, parse_float=Decimal, object_hook=Record)
    except foreign_text.ForeignTextRefused as error:
        raise MalformedTariff(f"not JSON: {error}") from None


def quoted(text: str) -> str:
    """Return a TOML string."""
    return json.dumps(text, ensure_ascii=False)


def decimal_text(value: Decimal | int | str, shift: int = 0, places: int = 6) -> str:
    """Return a quoted decimal of `value` x 10^`shift`; refuse more decimals than `places`."""
    number = Decimal(value).scaleb(shift)
    if not number.is_finite() or number != round(number, places):
        raise MalformedTariff(f"{value} has more than {places} decimals, or is no number")
    return quoted(f"{number.normalize():f}")


def slug(*parts: object) -> str:
    """Return a name for a tariff made of words and numbers."""
    return "-".join(re.findall(r"[a-z0-9]+", " ".join(map(str, parts)).lower()))


def heading(
    name: str,
    currency: str,
    zone: str,
    first: str | None,
    until: str | None,
    *,
    comments: Iterable[str] = (),
    more: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the first lines of a source; without dates its versions say when it is valid."""
    lines = [f"# {comment}" for comment in comments]
    lines += [
        "format = 1",
        f"name = {quoted(name)}",
        "revision = 1",
        f"currency = {quoted(currency)}",
        f"zone = {quoted(zone)}",
    ]
    if first and until:
        lines += [f"valid_from = {first}", f"valid_until = {until}"]
    lines.append('rounding = { rule = "half-up", decimals = 2 }')
    return lines + [f"{key} = {value}" for key, value in (more or {}).items()]


def minute_ranges(begin: str, until: str) -> list[str]:
    """Return "22:00", "07:00" as the ranges of one day, over midnight as two; equal: all day."""
    begin, until = begin.replace(" ", ""), until.replace(" ", "")
    until = "24:00" if until == "00:00" else until
    if (begin, until) == ("24:00", "24:00"):
        begin = "00:00"
    if begin < until:
        return [f"{begin}-{until}"]
    return [f"00:00-{until}", f"{begin}-24:00"]
