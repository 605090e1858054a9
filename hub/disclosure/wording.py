# SPDX-License-Identifier: Apache-2.0
"""What a consent allows, in words: one wording for command, pages, interface and log.

The sentences are made from the terms that the guard enforces, so nothing can be worded apart from
what is checked (docs/guard.md). `words/*.toml` holds their parts, a file for each language. Who
changes what a sentence promises changes `hub.disclosure.records.WORDS`, too: consents that were
given before are then shown again.
"""

import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final

from hub.disclosure.consents import LEAST_MINUTES, ConsentTerms
from hub.disclosure.numbers import PRICED
from hub.disclosure.rules import HIGHEST_PRICE, WIDEST_RATIO
from protocols.amounts import Count

WORDED_LANGUAGES: Final = ("en", "de", "fr", "it")
_WITH_PAYLOAD: Final = ("output", "export", "reader")
"""Statements named with what they are about, after a space; not answers to questions."""
_HIDDEN: Final = frozenset({"demand", "excess"})
"""Statements that hide when something was among all times it may have been."""
_LEAST_HOURS: Final = 2
_LIVE: Final = " live"


@cache
def consent_words(language: str) -> Mapping[str, Any]:
    """Return the parts of the sentences; `KeyError` for a language there are none of."""
    if language not in WORDED_LANGUAGES:
        raise KeyError(f"no wording of consents in {language!r}")
    path = files("hub.disclosure") / "words" / f"{language}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def consent_in_words(
    terms: ConsentTerms, language: str = "en", day: Callable[[date], str] = date.isoformat
) -> str:
    """Return what a consent allows, in a few short sentences.

    `day` writes a date as the language does.
    """
    return " ".join(consent_sentences(terms, language, day))


def consent_sentences(
    terms: ConsentTerms, language: str = "en", day: Callable[[date], str] = date.isoformat
) -> list[str]:
    """Return what a consent allows, sentence by sentence: who and what, the limits, until when."""
    return list(_named_sentences(terms, language, day).values())


def changed_sentences(
    before: ConsentTerms,
    after: ConsentTerms,
    language: str = "en",
    day: Callable[[date], str] = date.isoformat,
) -> list[tuple[str, str]]:
    """Return the sentences that differ, as they were and as they are; empty where there is none."""
    old, new = (_named_sentences(one, language, day) for one in (before, after))
    pairs = [(old.get(name, ""), new.get(name, "")) for name in dict.fromkeys((*old, *new))]
    return [(was, now) for was, now in pairs if was != now]


def _named_sentences(
    terms: ConsentTerms, language: str, day: Callable[[date], str]
) -> dict[str, str]:
    words = consent_words(language)
    kind, _, payload = terms.statement.partition(" ")
    values = {
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "time": _time(terms.least_minutes, words),
        "days": terms.least_days,
        "answers": terms.answers,
        "within": terms.within_days,
        "bits": terms.bits,
        "slot_bits": terms.slot_bits,
        "memory_days": terms.memory_days,
        "price": HIGHEST_PRICE,
        "ratio": WIDEST_RATIO,
        "others": terms.least_group - 1,
        "published": terms.published,
        "corrected": _time(terms.corrected_minutes, words),
        "until": day(terms.until),
        "output": payload,
        "period": _days(payload, day) if kind in ("export", "reader") else "",
    }
    is_fine = kind == "linear" and terms.least_minutes < LEAST_MINUTES
    what = words["what"]["linear_fine" if is_fine else kind].format(**values)
    opening = "get" if kind in _WITH_PAYLOAD else "learn"
    parts = (opening, *_limits(kind, terms))
    return {part: words[part].format(**values, what=what) for part in parts}


def _days(payload: str, day: Callable[[date], str]) -> str:
    """Return what an export is of, `[OBIS ]first/last`, with its days as the language has them.

    What a reader reads is written the same, with `OBIS,OBIS` and perhaps `live` at the end.
    """
    register, _, days = payload.removesuffix(_LIVE).rpartition(" ")
    first, _, last = days.partition("/")
    written = [day(date.fromisoformat(one)) for one in (first, last)]
    return " ".join(filter(None, [register.replace(",", ", "), f"{written[0]} – {written[1]}"]))


def _time(minutes: int, words: Mapping[str, Any]) -> str:
    """Return a stretch of time in hours, or in minutes where it is no two hours."""
    hours, rest = divmod(minutes, 60)
    if rest or hours < _LEAST_HOURS:
        return str(words["time"]["minutes"]).format(n=minutes)
    return str(words["time"]["hours"]).format(n=hours)


def _limits(kind: str, terms: ConsentTerms) -> list[str]:
    """Return which limits a consent has, by the names of their sentences."""
    within = ["within"] if terms.within_days > 1 else []
    match kind:
        case "output":
            limits = ["anything"]
        case "export":
            limits = ["as_they_are"]
        case "reader":
            live = ["live"] if terms.statement.endswith(_LIVE) else ["once_certified"]
            limits = ["login", *live, "as_they_are"]
        case "aggregate":
            limits = ["days", "same_period", *within]
        case "weighted":
            limits = ["size", "overlap", *within, "chosen_prices"]
        case "unattributed":
            limits = ["size", "same_period", "gaps"]
        case "sample":
            limits = ["days", "samples", *within, "apart"]
        case _:
            memory = ["memory"] if terms.memory_days else []
            limits = ["size", "moment", *within, "again", *memory, *_bounds(kind, terms)]
    if terms.published:
        limits.append("published" if terms.published == 1 else "published_for")
    return [*limits, "until"]


def _bounds(kind: str, terms: ConsentTerms) -> list[str]:
    """Return what bounds the numbers of a statement, and what stays unknown."""
    is_fine = terms.least_minutes < LEAST_MINUTES
    bounds = ["limits"] if kind == Count.kind else []
    if terms.slot_bits:
        bounds.append("slot_bits")
    elif kind in PRICED:
        bounds.append("prices")
    if is_fine:
        return [*bounds, "unknown_fine", "chosen"]
    bounds.append("unknown" if terms.least_days > 1 else "unknown_day")
    if terms.corrected_minutes:
        bounds.append("corrected")
    return [*bounds, *(["hidden"] if kind in _HIDDEN else [])]
