# SPDX-License-Identifier: Apache-2.0
"""Every kind of broken promise is seen where it was planted, and none where all is well.

And the search as a whole bites: with the guard off it finds each kind soon.
"""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from hub.disclosure import Disclosure
from hub.disclosure import Number as GuardedNumber
from hub.disclosure.memory import MemoryStep
from tests.attacks.search.episode import play
from tests.attacks.search.facts import Above, Combined, Counted, Highest, Weighed
from tests.attacks.search.promise import Book, EngineWrong, Finding
from tests.attacks.search.questions import Export, Number, Period, Question, Terms
from tests.attacks.search.world import World, draw_house

WORLD = World(slot_minutes=60, days=6)
HOUSE = draw_house(WORLD, random.Random(4))
WHOLE = Period(0, 6)
BILL = Terms("supplier", "bill", "linear", days=4, minutes=480, answers=3, bits=64)
FINE = Terms("grid", "profile", "linear", days=4, minutes=120, answers=9, bits=64)
ALL = frozenset(WHOLE.unknowns(WORLD))
GROUP = frozenset(range(10, 130, 12))


def book(*terms: Terms, world: World = WORLD, house: tuple[int, ...] = HOUSE) -> Book:
    return Book(world, house, list(terms))


def linear(slots: Iterable[int], weight: int = 1, rest: int = 0) -> Number:
    inner = frozenset(slots)
    weights = {u: weight if u in inner else rest for u in sorted(ALL)}
    return Number("linear", (Weighed({u: w for u, w in weights.items() if w}),))


def tell(note: Book, terms: Terms, *numbers: Number, period: Period = WHOLE) -> list[Finding]:
    question = Question(terms.recipient, terms.applet, period, numbers)
    values = [number.value(note.house) for number in numbers]
    return [*note.note(question, values), *note.worked_out(terms.recipient)]


def promises(findings: Iterable[Finding]) -> set[str]:
    return {finding.promise for finding in findings}


def test_ordinary_bills_break_nothing() -> None:
    note = book(BILL, FINE)
    night = {u for u in ALL if WORLD.is_quiet(u)}
    assert not tell(note, BILL, linear(night, 200, rest=300))
    assert not tell(note, BILL, linear(ALL, 7))
    assert not tell(note, FINE, linear(night, 5, rest=9))


def test_a_difference_of_two_sums_is_seen_and_who_has_to_work_together() -> None:
    note = book(BILL, FINE)
    assert not tell(note, FINE, linear(GROUP))
    [finding] = tell(note, BILL, linear(GROUP | {61}))
    assert finding == Finding(
        "sum", f"grid and supplier: {HOUSE[61]} Wh exactly of 60 min, promised 120 min"
    )


def test_digits_of_one_number_are_seen() -> None:
    assert promises(tell(book(BILL), BILL, linear({61}, 1, rest=1 << 20))) == {"sum"}


def test_a_stretch_is_seen_and_one_with_a_gap_too() -> None:
    day = frozenset(WORLD.day(2))
    assert promises(tell(book(BILL), BILL, linear(day, 1, rest=1 << 30))) == {"stretch"}
    gap = replace(WORLD, missing=frozenset([60]))
    note = book(BILL, world=gap, house=draw_house(gap, random.Random(4)))
    assert not tell(note, BILL, linear(ALL - gap.missing))
    assert promises(tell(note, BILL, linear(ALL - gap.missing, 3, rest=0))) == set()
    assert promises(tell(note, BILL, linear(ALL - day))) == {"stretch"}


def test_slots_that_were_opened_count_for_those_who_have_them() -> None:
    note = book(BILL)
    export = Export("grid", Period(2, 1), minutes=60)
    note.note_export(export)
    assert not list(note.worked_out("grid"))
    target = frozenset(WORLD.day(2)) | {5}
    [finding] = tell(note, BILL, linear(target, 1, rest=1 << 30))
    assert "grid and supplier" in finding.what


def test_a_sample_and_a_sum_are_seen() -> None:
    sampling = replace(FINE, kind="sample", minutes=300)
    note = book(BILL, sampling)
    samples = [Number("sample", (Weighed.of([u]),)) for u in sorted(GROUP)]
    assert not tell(note, sampling, *samples)
    assert promises(tell(note, BILL, linear(GROUP | {61}))) == {"sum"}


def test_samples_too_near_each_other_are_seen() -> None:
    sampling = replace(FINE, kind="sample", minutes=300)
    note = book(sampling)
    samples = [Number("sample", (Weighed.of([u]),)) for u in (5, 9)]
    assert promises(tell(note, sampling, *samples)) == {"spacing"}


def test_more_than_the_answers_is_seen_and_the_same_again_is_not() -> None:
    note = book(BILL)
    for _ in range(5):
        assert not tell(note, BILL, linear(ALL))
    findings = [tell(note, BILL, linear(ALL, weight)) for weight in (2, 3, 4)]
    assert [promises(one) for one in findings] == [set(), set(), {"count"}]


def test_more_bits_than_promised_are_seen() -> None:
    assert "bits" in promises(tell(book(BILL), BILL, linear(ALL, 1 << 60)))
    finest = replace(FINE, minutes=60, answers=2, bits=24)
    note = book(finest)
    assert not tell(note, finest, linear(GROUP, 2))
    assert not tell(note, finest, linear(GROUP, 3))
    assert "bits" in promises(tell(note, finest, *[linear(GROUP, w) for w in (40, 50, 60)]))


def test_what_no_standing_consent_allows_is_seen() -> None:
    note = book(BILL)
    assert promises(tell(note, BILL, linear(range(72)), period=Period(0, 3))) == {
        "standing",
        "stretch",
    }
    note = book(BILL)
    note.end(BILL)
    assert promises(tell(note, BILL, linear(ALL))) == {"standing"}


def test_a_peak_and_what_lies_above_a_limit_are_seen() -> None:
    peaks = replace(FINE, kind="demand")
    note = book(peaks)
    one = Number("demand", (Highest(((61,),)),))
    assert promises(tell(note, peaks, one)) == {"sum"}
    limits = replace(FINE, kind="excess")
    note = book(limits)
    above = Number("excess", (Combined(((1, Above({61: 3}, 20)),)),))
    assert promises(tell(note, limits, above)) == {"sum"}


def test_limits_beyond_what_was_promised_are_seen_and_what_they_tell() -> None:
    counts = replace(FINE, kind="count", answers=2)
    note = book(counts)
    every = tuple(tuple(WORLD.day(day)) for day in range(WORLD.days))
    use = max(sum(HOUSE[u] for u in window) for window in every)
    asked = [Number("count", (Counted(every, limit),)) for limit in (use - 5_000, use + 500)]
    assert not tell(note, counts, *asked)
    assert promises(tell(note, counts, Number("count", (Counted(every, use - 9_000),)))) == {
        "count", "limits",
    }  # fmt: skip
    note = book(replace(counts, answers=9))
    [one] = [window for window in every if sum(HOUSE[u] for u in window) == use]
    asked = [Number("count", (Counted((one,), limit),)) for limit in (use - 400, use + 500)]
    assert "near" in promises(tell(note, replace(counts, answers=9), *asked))


@pytest.mark.parametrize(
    "broken", ["hub.disclosure.guard.check_limits", "hub.disclosure.together.check_windows"]
)
def test_a_guard_without_a_rule_about_counts_is_found_out(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken, lambda *_: None)
    for seed in range(60):
        if play(seed, "small", "counting").findings:
            return
    pytest.fail(f"nothing is found without {broken}")


def test_an_engine_that_claims_what_is_not_so_is_found_out() -> None:
    note = book(BILL)
    question = Question(BILL.recipient, BILL.applet, WHOLE, (linear({61}),))
    assert not list(note.note(question, [HOUSE[61] + 1]))
    with pytest.raises(EngineWrong):
        list(note.worked_out(BILL.recipient))


@pytest.mark.parametrize("size", ["small", "month"])
def test_an_episode_follows_from_its_seed(size: str) -> None:
    assert play(9, size) == play(9, size)


SOONER = {("anything", "stretch"): 4}
"""The first seed, where those before it take long and find nothing."""


@pytest.mark.parametrize(
    ("strategy", "promise"),
    [
        ("differences", "sum"),
        ("outlived", "sum"),
        ("openings", "sum"),
        ("curves", "stretch"),
        ("curves", "count"),
        ("shifts", "stretch"),
        ("gaps", "stretch"),
        ("nearly", "sum"),
        ("heavy", "sum"),
        ("maxima", "sum"),
        ("limits", "sum"),
        ("contests", "sum"),
        ("finest", "bits"),
        ("sampling", "spacing"),
        ("climbs", "sum"),
        ("anything", "stretch"),
        ("counting", "limits"),
        ("counting", "near"),
        ("counting", "sum"),
        ("remembered", "sum"),
        ("remembered", "memory"),
    ],
)
def test_with_the_guard_off_each_strategy_finds_what_it_is_for(
    strategy: str, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disclosure, "check", lambda *_: None)
    for seed in range(SOONER.get((strategy, promise), 0), 40):
        if any(one.promise == promise for one in play(seed, strategy=strategy).findings):
            return
    pytest.fail(f"{strategy} found no broken {promise} in 40 episodes")


def test_a_guard_that_forgets_what_numbers_go_on_from_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = MemoryStep.numbers

    def own(step: MemoryStep) -> list[GuardedNumber]:
        return [one for one in numbers(step) if not one.is_recalled]

    monkeypatch.setattr(MemoryStep, "numbers", own)
    found = {
        one.promise for seed in range(40) for one in play(seed, "small", "remembered").findings
    }
    assert {"sum", "memory"} <= found


def _kinds(request: object) -> list[str]:
    return [number.kind for number in getattr(request, "numbers", ())]
