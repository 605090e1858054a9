# SPDX-License-Identifier: Apache-2.0
"""Every reason that a resident may be shown has words in every language.

What the parts of the hub raise is read from their source: each text, with something in the place of
what changes in it, must be found in the catalogue.
"""

import ast
import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hub
import protocols.metrology
import tariffs
from hub.disclosure.rules import ReleaseRefused
from hub.errors import HubError
from hub.inspection.errors import SHOWN_ERRORS
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.locales.reasons import (
    entry_kind_in_words,
    error_in_words,
    fact_in_words,
    fact_name_in_words,
    kind_of_error,
    kind_of_place,
    reason_in_words,
)
from hub.meters.odd import Odd
from tariffs.errors import MalformedTariff

ROOT = Path(__file__).resolve().parents[3]
OTHERS = [language for language in LANGUAGES if language != "en"]
PARTS = ("hub", "protocols/metrology", "tariffs", "meterlet/commands/inspect")
BY_KIND_ALONE = {
    # What is between programs, or for whoever makes a file: an English line after the kind's words.
    "CardRefusal", "AppletRefused", "PeerBroke", "PackageError",
    "MachineError", "AppletFault", "BundleError", "CacheRefused", "ContractBroken", "ManifestError",
    "RuntimeNotBuilt", "MalformedTariff", "MalformedDay", "MalformedAnnouncement",
    "SignatureRefused", "KeyFileError", "MeterTrustError", "ReplayError", "SecretFileError",
    "SimulationUnavailable", "UnsendableReading", "ReaderError", "SmlIntakeError",
    "ApiRefused", "TokenRefused", "WrongParameter",
    "DiallingError", "BrokenDown", "NoCertificate", "RecipientError", "SecurityFailed",
    "ServiceError", "ConfigurationRefused", "ServiceRunning",
    # What was changed on the disk, or is a bug: the kind says what a resident can make of it.
    "VaultTampered", "SealBroken", "ReadingsRefused", "DayAlreadyJournalled", "OutOfOrder",
}  # fmt: skip
SAMPLES = {
    "n": "1,234", "day": "2025-03-01", "time": "2025-03-01T10:00:00Z",
    "reason": "the day is missing", "x": "abc",
}  # fmt: skip


@dataclass(frozen=True)
class Raised:
    """A text that a part of the hub raises, or sets aside with."""

    where: str
    parts: tuple[str, ...]
    """What it says around what changes."""
    changing: tuple[str, ...]
    """The expressions in between."""

    def said(self, kinds: tuple[str, ...]) -> str:
        """The text with something of a kind in each place."""
        given = [SAMPLES[kind] for kind in kinds]
        return "".join(a + b for a, b in zip(self.parts, [*given, ""], strict=True))


def shown_classes() -> set[type[Exception]]:
    """Every class of error that a resident may be shown."""
    for package in (hub, protocols.metrology, tariffs):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if ".wit" not in module.name and "components" not in module.name:
                importlib.import_module(module.name)
    found: set[type[Exception]] = set()
    rest: list[type[Exception]] = list(SHOWN_ERRORS)
    while rest:
        one = rest.pop()
        found.add(one)
        rest += one.__subclasses__()
    return {one for one in found if one.__module__.split(".")[0] in ("hub", "protocols", "tariffs")}


def texts_of(node: ast.expr) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The fixed parts of a text and the expressions between them, of each form that it may have."""
    match node:
        case ast.Constant(str() as text):
            yield (text,), ()
        case ast.JoinedStr(values):
            parts, changing = [""], []
            for value in values:
                if isinstance(value, ast.Constant):
                    parts[-1] += str(value.value)
                else:
                    changing.append(ast.unparse(value))
                    parts.append("")
            yield tuple(parts), tuple(changing)
        case ast.BinOp(left, ast.Add(), right):
            for (a, b), (c, d) in ((x, y) for x in texts_of(left) for y in texts_of(right)):
                yield (*a[:-1], a[-1] + c[0], *c[1:]), b + d
        case ast.IfExp(_, one, other):
            yield from texts_of(one)
            yield from texts_of(other)
        case _:
            return


def raised() -> Iterator[Raised]:
    names = {one.__name__ for one in shown_classes()} - BY_KIND_ALONE
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(ast.Name(name), [*arguments]) if name in names:
                        last = 1 if name in ("ReleaseRefused", "DayRefused") else 0
                        told = arguments[last : last + 1]
                    case ast.Tuple([ast.Attribute(ast.Name("Odd")), told_one]):
                        told = [told_one]
                    case ast.Call(ast.Name("_Unusable" | "cannot_tell"), [*arguments]):
                        told = arguments[:1]
                    case ast.Assign([ast.Name("reason")], value) if "views/bill" in str(path):
                        told = [value]
                    case ast.Assign([ast.Name("why")], value) if "admission" in str(path):
                        told = [value]
                    case _:
                        continue
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                for one in told:
                    for parts, changing in texts_of(one):
                        if re.search("[a-z]{2}", "".join(parts)):
                            yield Raised(where, parts, changing)


def kinds_of(expression: str) -> tuple[str, ...]:
    """What an expression in a text may stand for, the likeliest first."""
    if re.search(r"utc_text|_moment\(", expression):
        return ("time",)
    if re.search(r"error|refused|odd\[1\]|more", expression):
        return ("reason", "x")
    if re.search(r"day|first|last|due|begins|date_of|until|valid_from|span\[|\.at\b", expression):
        return ("day", "n", "x")
    return ("n", "x")


COMPLETED_ELSEWHERE = {
    # What is put together of parts: all forms are below.
    "{together}", "{what}", "{more}", "{how}", "{name}", "{days}", "{missing_in_words(missing)}",
    "{utc_text(candidate.readout.time)}",
    # Files that suppliers and their checkers exchange.
    "tariffs/ar2418.py",
}  # fmt: skip
COMPLETED = (
    "fineness: the use of 30 min of slots from 2025-03-01 10:00 UTC could be worked out,"
    " the consent says no finer than 1440 min",
    "fineness: the use of 30 min of slots from 2025-03-01 10:00 UTC could be worked out, together"
    " with grid, supplier, the consent says no finer than 1440 min",
    "window: the total of 3.5 days from 2025-03-01 10:00 UTC could be worked out, the consent says"
    " no less than 28",
    "window: the total of 3.5 days that were corrected from 2025-03-01 10:00 UTC could be worked"
    " out, the consent says no less than 28, and allows no other total of corrected slots",
    "it is of meter 0a01, this hub is for 0b02",
    "it is the first, and the next telegram, of 2025-03-01T10:00:00Z, does not follow from it",
    "it is the first, and the next telegram, of 2025-03-01T10:00:00Z, does not follow from it:"
    " 1-0:1.8.0*255 fell from 5,000 to 10 Wh",
    "1-0:1.8.0*255 fell from 5,000 to 10 Wh; if it counts whole kilowatt-hours now, enter the"
    " meter's PIN",
    "the slot at 2025-03-01T10:00:00Z begins before the validity of its prices; easy is valid"
    " 2025-01-01 to 2025-12-31 in Europe/Berlin",
    "the slot at 2025-03-01T10:00:00Z ends after the validity of its prices; easy is valid"
    " 2025-01-01 to 2025-12-31 in Europe/Berlin",
    "it came after one of 2025-03-01T10:00:00Z, and is of 2025-03-01T09:00:00Z",
    "its clock is ahead of the hub's: 2025-03-01T10:00:00Z",
    "its time is 12 days after the last one, and nothing confirms it",
    "another value than the one stored for 2025-03-01T10:00:00Z",
    "7 of what is set aside is of meter 0a01, which does not count here: drop it, or if the"
    " meter was exchanged, this takes all of it: meterlet hub exchange-meter --at x",
    "7 of what is set aside is of meter 0a01, which was taken down: drop it",
    "7 of what is set aside has not all registers, or its time is not known: drop it",
    "7 of what is set aside is of 2025-03-01T10:00:00Z, which has not come yet: drop it",
    "7 of what is set aside: 1-0:1.8.0*255 shows less than the last reading, so that none can"
    " follow from it: drop it",
    "3 slots are missing, the invoice says 4",
    "1 slot is missing, the invoice says 0",
    "0 slots are missing, the invoice says 1",
    "the hub's clock is 7,200 s ahead of the meter's count of seconds",
    "the hub's clock is 7,200 s behind the meter's count of seconds",
    "the meter sends no time at all: say when the capture began, as --start 2025-03-01T00:00:00"
    " (UTC), and --step 15min for the time between two telegrams",
    "the database /hub/hub.db is busy; another meterlet process holds it",
    "a sum over households is under way until 2025-03-01T10:00:00Z; do this then, or say"
    " --abandon-rounds",
    "custody: the custody of this meter began on 2025-03-01; no day before it is told",
    "too many attempts; try again in 30 s",
    "how often: 3 answers about periods within 366 days were given already, the consent says 2 (16"
    " refusals like this one today)",
)  # fmt: skip


def found_in_all(said: str) -> bool:
    return all(reason_in_words(said, catalogue(language)) != said for language in OTHERS)


def test_every_reason_that_is_raised_has_words_in_every_language() -> None:
    everything = list(raised())
    assert len(everything) > 250
    missing = []
    for one in everything:
        if COMPLETED_ELSEWHERE.intersection((*one.changing, one.where.partition(":")[0])):
            continue
        tried = [one.said(kinds) for kinds in _choices(one.changing)]
        if not any(map(found_in_all, tried)):
            missing.append(f"{one.where}: {tried[0]}")
    assert missing == []


def _choices(changing: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Kinds for each expression; each may be of its first kinds, or all of their last."""
    options = [kinds_of(one) for one in changing]
    total = 1
    for one in options:
        total *= len(one)
    for number in range(total):
        chosen, rest = [], number
        for one in options:
            chosen.append(one[rest % len(one)])
            rest //= len(one)
        yield tuple(chosen)


@pytest.mark.parametrize("said", COMPLETED)
def test_what_is_put_together_has_words_too(said: str) -> None:
    assert found_in_all(said)


def test_every_shape_of_a_reason_is_found_again_with_its_values() -> None:
    shapes = {k: t for k, t in catalogue("en").texts.items() if k.startswith("reason.")}
    for language in OTHERS:
        words = replace(catalogue(language), zone=ZoneInfo("Europe/Berlin"))
        for key, text in shapes.items():
            names = re.findall(r"\{(\w+)\}", text)
            values = {name: SAMPLES[kind_of_place(name)] for name in names}
            told = reason_in_words(text.format_map(values), words)
            own = words.texts[key]
            assert told != text.format_map(values) or own == text, key
            parts = [re.escape(part) for part in re.split(r"\{\w+\}", own)]
            assert re.fullmatch(".+".join(parts), told), (language, key, told)


def test_every_kind_of_error_has_words_of_its_own_or_its_parents() -> None:
    classes = shown_classes()
    assert len(classes) > 60
    roots = set(SHOWN_ERRORS)
    for one in classes - roots:
        kind = kind_of_error(one)
        assert kind is not None, one
        for language in LANGUAGES:
            assert catalogue(language).texts[f"error.{kind}"].endswith("."), (one, language)
    names = {one.__name__ for one in classes}
    kinds = {key.partition(".")[2] for key in catalogue("en").texts if key.startswith("error.")}
    assert kinds <= names
    assert names >= BY_KIND_ALONE


def test_an_error_nobody_has_translated_says_its_kind_first() -> None:
    german = catalogue("de")
    told = error_in_words(MalformedTariff("bands.day: unknown key"), german)
    assert told.startswith("Die Datei ist kein richtiger Tarif.")
    assert told.endswith("(bands.day: unknown key)")
    assert error_in_words(HubError("something"), german) == "something"
    assert "locked" in error_in_words(sqlite3.OperationalError("database is locked"), german)
    refused = ReleaseRefused("size", "9 bits, the consent allows 8")
    assert error_in_words(refused, german) == "Größe: 9 Bits, die Einwilligung erlaubt 8"
    assert error_in_words(refused, catalogue("en")) == str(refused)


def test_numbers_days_and_times_in_a_reason_are_written_as_the_language_does() -> None:
    words = replace(catalogue("de"), zone=ZoneInfo("Europe/Berlin"))
    told = reason_in_words("its clock is behind: 2025-07-01T10:00:07Z", words)
    assert told == "seine Uhr geht nach: 01.07.2025, 12:00:07"
    told = reason_in_words("its clock is behind: 2025-07-01T10:00:00Z", catalogue("de"))
    assert told == "seine Uhr geht nach: 01.07.2025, 10:00 UTC"
    told = reason_in_words("1-0:1.8.0*255 fell from 12,000 to 7 Wh", words)
    assert told == "1-0:1.8.0*255 fiel von 12.000 auf 7 Wh"


@given(st.text(max_size=1_200), st.sampled_from(OTHERS))
def test_any_text_has_an_answer(text: str, language: str) -> None:
    words = catalogue(language)
    for said in (
        text,
        f"fineness: {text}",
        f"its clock is behind: {text}",
        f"there is no view of a {text}",
    ):
        assert isinstance(reason_in_words(said, words), str)
    assert fact_in_words("why", text, words)[:80] == reason_in_words(text, words)[:80]


# The log


def appended() -> dict[str, set[str]]:
    """What is written into the log: kinds of entries, events and names of facts, by the source."""
    found: dict[str, set[str]] = {"entry": set(), "event": set()}
    for part in ("hub", "meterlet/commands"):
        for path in sorted((ROOT / part).rglob("*.py")):
            tree = ast.parse(path.read_text())
            constants = {
                target.id: node.value.value
                for node in tree.body
                if isinstance(node, ast.Assign | ast.AnnAssign)
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                if isinstance(target, ast.Name)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            }
            for node in ast.walk(tree):
                if not (
                    isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
                ):
                    continue
                of = ast.unparse(node.func)
                place, table = -1, "event"
                if of.endswith("log.append"):
                    place, table = 1, "entry"
                elif of.endswith(("request.record", "incidents.refused", "incidents.happened")):
                    place = 0
                elif of in ("_begin", "_record", "refuse", "_manage"):
                    place = {"_begin": 2, "_record": 1, "refuse": 1, "_manage": 2}[of]
                if 0 <= place < len(node.args):
                    match node.args[place]:
                        case ast.Constant(str() as text):
                            found[table].add(text)
                        case ast.Name(name) if name in constants:
                            found[table].add(constants[name])
    guard = (ROOT / "hub/inspection/web/access/request_guard.py").read_text()
    found["event"] |= set(re.findall(r'return \d+, "([a-z -]+)"', guard)) | {"oversized request"}
    return found


def test_every_kind_of_entry_and_event_has_words() -> None:
    found = appended()
    assert {"consent", "refusal", "door", "published", "custody", "unattributed"} <= found[
        "entry"
    ] | {"unattributed"}
    assert {"sign-in", "wrong passphrase", "applet locked", "forged form"} <= found["event"]
    for table, names in found.items():
        for name in names:
            key = f"{table}.{name.replace(' ', '_').replace('-', '_')}"
            assert key in catalogue("en").texts, key
    said = catalogue("de")
    assert entry_kind_in_words("new key", said) == "neuer Schlüssel"
    assert fact_in_words("event", "wrong passphrase", said) == "falsche Passphrase"
    assert fact_in_words("why", "consent: number 3 was revoked", said) == (
        "Einwilligung: Nummer 3 wurde widerrufen"
    )
    assert fact_in_words("begin", 1_743_296_400, said) == "30.03.2025, 01:00:00"
    assert fact_in_words("until", "2035-12-31", said) == "31.12.2035"
    assert fact_in_words("until", "some day", said) == "some day"
    assert entry_kind_in_words("of a later release", said) == "of a later release"
    assert fact_name_in_words("unheard", said) == "unheard"
    assert (fact_in_words("a", b"\1\2", said), fact_in_words("a", [1, 2], said)) == (
        "0102",
        "2 ...",
    )


def test_every_kind_of_odd_telegram_has_words() -> None:
    for language in LANGUAGES:
        for kind in Odd:
            assert f"pages.set_aside.kind_{kind.replace('-', '_')}" in catalogue(language).texts
