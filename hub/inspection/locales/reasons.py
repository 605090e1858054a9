# SPDX-License-Identifier: Apache-2.0
"""What the hub's parts refuse, and why, in the resident's language; and the log's own words.

The parts say each reason in English, and the log keeps it so. The English catalogue has the shape
of each, with what changes in it named: `{n} bits, the consent allows {m}`. A text of that shape is
said again in another language, with numbers, days and times as that language writes them; so what
was recorded before is translated, too. A text that consists of parts, `fineness: ...`, is
translated part by part. What has no shape here stays English, after a sentence for its kind of
error: `error.*`, by the name of its class.

    n m k       a number
    day day2    a day, as 2025-03-01
    time time2  a moment in UTC
    reason      another reason
    x y z       anything else, on one line and without ": "
"""

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from hub.inspection.locales.catalogue import Catalogue, catalogue

LONGEST: Final = 1_000
"""Characters of a reason that is looked at; a longer one is of nobody we know."""
DEEPEST: Final = 4
"""Parts of a reason."""
LONGEST_FACT: Final = 80
MOMENTS: Final = frozenset({"begin", "end", "boundary", "first", "published_time"})
"""Facts that are moments, in seconds."""
DAYS: Final = frozenset({"first_day", "from", "until"})
_SHAPED: Final = {
    "n": r"-?\d[\d,.]*(?:e[+-]\d+)?",
    "day": r"\d{4}-\d\d-\d\d",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z| UTC)",
    "reason": r".+",
    "x": r"(?:(?!: ).)+?",
}
_NAMED: Final = {"m": "n", "k": "n", "j": "n", "y": "x", "z": "x", "day2": "day", "time2": "time"}
_PLACE: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Shape:
    """The shape of an English reason."""

    name: str
    pattern: re.Pattern[str]
    fixed: int
    """Characters of it that do not change."""


@cache
def _shapes() -> tuple[_Shape, ...]:
    """Return all shapes, those that say most by themselves first."""
    texts = catalogue("en").texts
    own = [key for key in texts if key.startswith("reason.")]
    shapes = [_shape(key.removeprefix("reason."), texts[key]) for key in own]
    return tuple(sorted(shapes, key=lambda shape: -shape.fixed))


def _shape(name: str, text: str) -> _Shape:
    parts = _PLACE.split(text)
    pattern = "".join(
        f"(?P<{part}>{_SHAPED[kind_of_place(part)]})" if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    )
    return _Shape(name, re.compile(pattern), sum(map(len, parts[::2])))


def kind_of_place(name: str) -> str:
    """Return what a placeholder of a reason stands for: `n`, `day`, `time`, `reason` or `x`."""
    return _NAMED.get(name, name)


def reason_in_words(text: str, words: Catalogue) -> str:
    """Return a reason in the resident's language; as it is where nobody has translated it."""
    if words.language == "en":
        return text
    return _translated(text, replace(words, prefix=""), DEEPEST) or text


def error_in_words(error: Exception, words: Catalogue) -> str:
    """Return what was refused and why; a reason nobody has translated follows what it is about."""
    text, words = str(error), replace(words, prefix="")
    if words.language == "en":
        return text
    translated = _translated(text, words, DEEPEST)
    if translated is not None:
        return translated
    kind = kind_of_error(type(error))
    return text if kind is None else f"{words.t(f'error.{kind}')} ({text})"


def kind_of_error(error: type[Exception]) -> str | None:
    """Return the name under which the catalogue says what kind of error it is; None: it does not.

    A class that has no words of its own is of its parent's kind.
    """
    if issubclass(error, sqlite3.Error):
        return "DatabaseError"
    texts = catalogue("en").texts
    return next((one.__name__ for one in error.__mro__ if f"error.{one.__name__}" in texts), None)


def _translated(text: str, words: Catalogue, depth: int) -> str | None:
    """Return a reason, or a part of one, translated; None where it has no shape that we know."""
    if not depth or len(text) > LONGEST:
        return None
    for shape in _shapes():
        match = shape.pattern.fullmatch(text)
        if match is not None:
            values = _values(match.groupdict(), words, depth)
            return words.t("reason." + shape.name, **values)
    head, colon, rest = text.partition(": ")
    if not colon:
        return None
    parts = _head(head, words, depth), _translated(rest, words, depth - 1)
    if parts == (None, None):
        return None
    return f"{parts[0] or head}: {parts[1] or rest}"


def _head(text: str, words: Catalogue, depth: int) -> str | None:
    """Return what stands before a colon: a rule's name, a day, a moment, or another part."""
    if (rule := _named("rule", text, words)) is not None:
        return rule
    for kind in ("day", "time"):
        if re.fullmatch(_SHAPED[kind], text):
            return _value(kind, text, words)
    return _translated(text, words, depth - 1)


def _values(found: Mapping[str, str], words: Catalogue, depth: int) -> dict[str, str]:
    values = {}
    for name, text in found.items():
        kind = kind_of_place(name)
        said = _translated(text, words, depth - 1) if kind == "reason" else None
        values[name] = said or _value(kind, text, words)
    return values


def _value(kind: str, text: str, words: Catalogue) -> str:
    """Return a number, day or moment as the language writes it; what is none as it is."""
    try:
        match kind:
            case "n" if not text.isdecimal():
                number = Decimal(text.replace(",", ""))
                exponent = int(number.as_tuple().exponent)
                return words.number(number, max(0, -exponent))
            case "day":
                return words.day(date.fromisoformat(text))
            case "time":
                return _moment(text, words)
    except (ArithmeticError, ValueError):
        pass
    return text


def _moment(text: str, words: Catalogue) -> str:
    plain = text.removesuffix("Z").removesuffix(" UTC")
    time = int(datetime.fromisoformat(plain).replace(tzinfo=UTC).timestamp())
    said = words.moment(time) if time % 60 else words.minute(time)
    return f"{said} UTC" if words.zone is UTC else said


# The log's own words


def entry_kind_in_words(kind: str, words: Catalogue) -> str:
    """Return what kind of entry it is; as the log has it where nobody has translated it."""
    return _named("entry", kind, words) or kind


def fact_name_in_words(name: str, words: Catalogue) -> str:
    """Return what a fact of an entry is called."""
    return _named("fact", name, words) or name


def fact_in_words(name: str, value: Any, words: Catalogue) -> str:
    """Return a fact in a line, cut where it is long; times, events and reasons in the language."""
    match value:
        case bytes():
            text = value.hex()
        case list():
            text = f"{len(value)} ..."
        case str() if name == "event":
            return _named("event", value, words) or value
        case str() if name == "why":
            return reason_in_words(value, words)
        case int() if name in MOMENTS:
            return words.moment(value)
        case str() if name in DAYS:
            text = _value("day", value, words)
        case _:
            text = str(value)
    return text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}…"


def _named(table: str, name: str, words: Catalogue) -> str | None:
    """Return the text of a table for a name that programs use; None where there is none."""
    words = replace(words, prefix="")
    key = name.replace(" ", "_").replace("-", "_")
    found = {
        "entry": f"entry.{key}", "event": f"event.{key}", "fact": f"fact.{key}",
        "rule": f"rule.{key}",
    }[table]  # fmt: skip
    return words.t(found) if found in words.texts else None
