# SPDX-License-Identifier: Apache-2.0
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest

from hub.inspection.locales.catalogue import LANGUAGES, UnknownText, best_language, catalogue
from hub.inspection.views.money import Money

ROOT = Path(__file__).resolve().parents[3]
BERLIN = ZoneInfo("Europe/Berlin")
PLURALS = (".one", ".many", ".other")


def base(key: str) -> str:
    """A text's name without its plural form."""
    return next((key.removesuffix(form) for form in PLURALS if key.endswith(form)), key)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def sources() -> str:
    folders = (ROOT / "hub" / "inspection", ROOT / "meterlet")
    return "\n".join(
        path.read_text()
        for folder in folders
        for suffix in ("*.py", "*.html", "*.svg", "*.txt")
        for path in folder.rglob(suffix)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_placeholders(language: str) -> None:
    english, other = catalogue("en").texts, catalogue(language).texts
    assert set(map(base, other)) == set(map(base, english))
    for key, text in other.items():
        assert text.strip(), key
        like = english.get(key, english.get(base(key) + ".other", ""))
        assert placeholders(text) <= placeholders(like) | {"n"}, key
        assert placeholders(like) <= placeholders(text) | {"n"}, key


def test_every_text_is_used() -> None:
    if not (ROOT / "hub" / "inspection" / "web").is_dir():
        pytest.skip("the pages, which use most texts, are not here")
    text = sources()
    dynamic = set(re.findall(r"""["']([a-z_]+(?:\.[a-z_]+)*\.)(?:\{|["'] *[~+])""", text))
    unused = [
        key
        for key in sorted(set(map(base, catalogue("en").texts)))
        if not re.search(rf"""["']{re.escape(key)}["']""", text)
        and not any(key.startswith(prefix) for prefix in dynamic)
    ]
    assert unused == []


def test_a_text_that_is_not_there_is_a_bug_and_says_which() -> None:
    with pytest.raises(UnknownText, match=r"no\.such"):
        catalogue("en").t("no.such")
    with pytest.raises(UnknownText, match="'xx'"):
        catalogue("xx")


@pytest.mark.parametrize(
    ("language", "energy", "money", "share", "day"),
    [
        ("en", "1,234.567 kWh", "-€1,234.57", "-0.5%", "30 Mar 2025"),
        ("de", "1.234,567 kWh", "-1.234,57 €", "-0,5 %", "30.03.2025"),
        ("it", "1.234,567 kWh", "-1.234,57 €", "-0,5%", "30 mar 2025"),
        ("fr", "1 234,567 kWh", "-1 234,57 €", "-0,5 %", "30 mars 2025"),
    ],
)
def test_numbers_money_and_dates_are_written_as_the_language_does(
    language: str, energy: str, money: str, share: str, day: str
) -> None:
    words = catalogue(language)

    def plain(text: str) -> str:
        return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")

    assert plain(words.energy(1_234_567)) == energy
    assert plain(words.money(Money(-123_456_789, 5, "EUR"))) == money
    assert plain(words.share(-5_000)) == share
    assert words.day(date(2025, 3, 30)) == day
    assert replace(words, zone=BERLIN).clock(1_743_296_400) == "03:00"
    assert words.energy(None) == words.money(None) == "–"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("it-IT,it;q=0.9,en;q=0.8", "it"),
        ("de;q=0.1,fr;q=0.5", "fr"),
        ("nl,pt", "en"),
        ("de;q=0", "en"),
        ("de;q=x,it;q=0.²", "en"),
        ("", "en"),
    ],
)
def test_the_browser_s_preferred_language_is_taken(header: str, language: str) -> None:
    assert best_language(header) == language
