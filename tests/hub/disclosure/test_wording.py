# SPDX-License-Identifier: Apache-2.0
"""One wording of consents, made from the terms that the guard enforces."""

from dataclasses import replace
from datetime import date
from string import Formatter
from typing import Any

import pytest

from hub.disclosure import LEAST_MINUTES, ConsentTerms
from hub.disclosure.numbers import PRICED
from hub.disclosure.rules import HIGHEST_PRICE, WIDEST_RATIO
from hub.disclosure.wording import WORDED_LANGUAGES, consent_in_words, consent_words
from hub.inspection.locales.catalogue import LANGUAGES
from hub.machine.manifest import STATEMENT_KINDS

TERMS = ConsentTerms(
    applet=b"", package=b"", recipient="supplier", purpose="billing", statement="linear",
    least_days=28, least_minutes=LEAST_MINUTES, answers=3, bits=63, until=date(2030, 12, 31),
    within_days=31, least_group=5,
)  # fmt: skip
STATEMENTS = (*STATEMENT_KINDS, "output daily", "export 2025-03-01/2025-03-31")


def flat(words: Any, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in words.items():
        found |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_a_plain_consent_reads_as_the_resident_would_say_it() -> None:
    assert consent_in_words(TERMS) == (
        "supplier may learn, for billing: sums of your use in which some times may count more"
        " than others, such as a bill."
        " Each number is about 28 days or more and has at most 63 bits: it tells as much as 63"
        " answers of yes or no."
        " At most 3 numbers are about any one moment."
        " At most 3 are about periods within any 31 days."
        " The same number, told again, counts once."
        " Prices keep within bounds: a watt-hour counts for at most one unit (a cent, say) of a"
        " number, and no price is more than 10 times another."
        " Whatever anybody computes from them, anything finer than a mix of 8 hours of your use"
        " stays unknown, and so does your use over fewer than 28 days in a row."
        " This holds until 2030-12-31."
    )


@pytest.mark.parametrize("language", WORDED_LANGUAGES)
@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("minutes", [15, LEAST_MINUTES])
def test_every_consent_has_words_in_every_language(
    language: str, statement: str, minutes: int
) -> None:
    terms = replace(TERMS, statement=statement, least_minutes=minutes)
    text = consent_in_words(terms, language)
    assert "supplier" in text
    assert "billing" in text
    assert "{" not in text
    assert text.endswith("2030-12-31.")
    counted = "export" not in statement and "output" not in statement
    assert (str(terms.answers) in text) is counted or not counted


@pytest.mark.parametrize("language", WORDED_LANGUAGES)
def test_every_language_has_the_same_sentences(language: str) -> None:
    english, other = flat(consent_words("en")), flat(consent_words(language))
    assert other.keys() == english.keys()
    for key, text in other.items():
        assert placeholders(text) == placeholders(english[key]), key


def test_the_pages_languages_are_those_of_consents() -> None:
    assert set(WORDED_LANGUAGES) == set(LANGUAGES)
    with pytest.raises(KeyError, match="'xx'"):
        consent_words("xx")


@pytest.mark.parametrize(
    ("statement", "counted"),
    [
        ("linear", "numbers are about any one moment"),
        ("match", "numbers are about any one moment"),
        ("sample", "answers with such readings are about any one moment"),
        ("weighted", "numbers are about periods that overlap"),
        ("aggregate", "answers are about the same period"),
    ],
)
def test_the_words_count_numbers_as_the_guard_does(statement: str, counted: str) -> None:
    for minutes in (15, LEAST_MINUTES):
        text = consent_in_words(replace(TERMS, statement=statement, least_minutes=minutes))
        assert f"At most 3 {counted}." in text


def test_a_consent_by_bits_says_its_bits_and_promises_no_prices() -> None:
    fine = replace(TERMS, least_minutes=15, slot_bits=72)
    text = consent_in_words(fine)
    assert "tell at most 72 bits about any one of your readings." in text
    assert "Prices keep within bounds" not in text
    assert "in a row" not in text  # where nothing is mixed, no stretch of days is held back
    assert "what you used in single stretches of 15 minutes." in text
    assert "Prices keep within bounds" in consent_in_words(replace(fine, slot_bits=0))
    assert "mix of 8 hours" in consent_in_words(replace(fine, least_minutes=LEAST_MINUTES))


@pytest.mark.parametrize("language", WORDED_LANGUAGES)
def test_the_bounds_that_are_said_are_the_guard_s(language: str) -> None:
    for statement in STATEMENTS:
        terms = replace(TERMS, statement=statement, least_days=77, least_minutes=1320)
        text = consent_in_words(terms, language)
        sentence = consent_words(language)["prices"].format(price=HIGHEST_PRICE, ratio=WIDEST_RATIO)
        assert (sentence in text) is (statement in PRICED), statement
        if "export" not in statement and "output" not in statement:
            assert "77" in text


def test_a_single_day_is_said_as_one() -> None:
    text = consent_in_words(replace(TERMS, least_days=1))
    assert "your use over less than a day" in text


@pytest.mark.parametrize("language", WORDED_LANGUAGES)
def test_a_demand_for_publication_is_a_sentence_of_the_consent(language: str) -> None:
    without = consent_in_words(TERMS, language)
    told = [consent_in_words(replace(TERMS, published=n), language) for n in (1, 240)]
    assert len({without, *told}) == 3
    assert "240" in told[1]


@pytest.mark.parametrize("statement", ["aggregate", "output daily", "export x", "unattributed"])
def test_what_is_told_under_no_document_cannot_be_demanded_to_be_published(statement: str) -> None:
    with pytest.raises(ValueError, match="under no document"):
        replace(TERMS, statement=statement, published=1)
