# SPDX-License-Identifier: Apache-2.0
"""What a consent allows, in words: one wording for command, pages, interface and log.

The sentences are made from the terms that the guard enforces, so nothing can be worded apart from
what is checked. `words/*.toml` holds their parts, a file for each language.
"""

import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final

from hub.disclosure.consents import LEAST_MINUTES, ConsentTerms

WORDED_LANGUAGES: Final = ("en", "de", "fr", "it")
_OVERLAPPING: Final = frozenset({"sample", "weighted"})
"""Statements whose answers are counted over periods that overlap, however fine they are."""
_WITH_PAYLOAD: Final = ("output", "export")
"""Statements named with what they are about, after a space; not answers to questions."""


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
    words = consent_words(language)
    kind, _, payload = terms.statement.partition(" ")
    is_fine = terms.least_minutes < LEAST_MINUTES
    values = {
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "minutes": terms.least_minutes,
        "days": terms.least_days,
        "answers": terms.answers,
        "within": terms.within_days,
        "bits": terms.bits,
        "others": terms.least_group - 1,
        "published": terms.published,
        "until": day(terms.until),
        "output": payload,
        "period": payload,
    }
    what = words["what"]["linear_fine" if kind == "linear" and is_fine else kind].format(**values)
    opening = "get" if kind in _WITH_PAYLOAD else "learn"
    parts = [words[part].format(**values, what=what) for part in (opening, *_limits(kind, terms))]
    return " ".join(parts)


def _limits(kind: str, terms: ConsentTerms) -> list[str]:
    """Return which limits a consent has, by the names of their sentences."""
    if kind in _WITH_PAYLOAD:
        return ["until"]
    is_fine = terms.least_minutes < LEAST_MINUTES
    overlapping = kind in _OVERLAPPING or (is_fine and kind != "aggregate")
    limits = ["days" if kind in ("sample", "aggregate") else "size"]
    limits.append("answers_overlapping" if overlapping else "answers_same_period")
    if terms.within_days > 1:
        limits.append("answers_within")
    match kind:
        case "linear":
            limits.append("chosen_weights" if is_fine else "finest")
        case "weighted":
            limits.append("chosen_prices")
        case "unattributed":
            limits.append("finest")
        case "blocks" | "demand" | "excess" | "match":
            limits.append("not_apart")
    if terms.published:
        limits.append("published" if terms.published == 1 else "published_for")
    return [*limits, "until"]
