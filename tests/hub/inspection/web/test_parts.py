# SPDX-License-Identifier: Apache-2.0
"""The pages' parts by themselves: sessions, delays, jobs, charts, effects, words."""

import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disclosure import ConsentTerms
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.views.bucket import BandUse, StateCounts, UseBucket
from hub.inspection.web.access.request_guard import _is_plain
from hub.inspection.web.access.residents import ResidentRole, Residents
from hub.inspection.web.access.throttle import Throttle, TooManyAttempts
from hub.inspection.web.charts import HEIGHT, WIDTH, bar_chart
from hub.inspection.web.jobs import Jobs, State, Tick, TooManyJobs
from hub.machine import manifest
from protocols.metrology import find_zone
from tests.support.waiting import PATIENCE


def bucket(
    wh: int, *, missing: int = 0, estimated: int = 0, bands: tuple[BandUse, ...] = ()
) -> UseBucket:
    states = StateCounts(4 - missing - estimated, estimated, 0, missing)
    return UseBucket(0, 3600, wh, states, 0, 0, False, None, bands, None, None, None)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=400))
def test_bars_stay_inside_their_chart_whatever_was_used(uses: list[int]) -> None:
    names = [""] * len(uses)
    chart = bar_chart("", [bucket(wh) for wh in uses], names, names, {})
    assert len(chart.bars) == len(uses)
    for block in (block for bar in chart.bars for block in bar.blocks):
        assert 0 <= block.x < block.x + block.width <= WIDTH
        assert 0 <= block.y <= block.y + block.height <= HEIGHT


def test_a_bars_bands_add_up_to_it_the_cheapest_below() -> None:
    bands = BandUse("day", 700, 2), BandUse("night", 300, 2)
    chart = bar_chart("", [bucket(1000, bands=bands)], [""], [""], {"day": 4, "night": 0})
    night, day = chart.bars[0].blocks
    assert (night.kind, day.kind) == ("band-0", "band-4")
    assert night.y + night.height == chart.floor
    assert day.y + day.height == night.y
    assert day.height > night.height


def test_what_is_missing_and_what_is_guessed_is_drawn_as_such() -> None:
    chart = bar_chart("", [bucket(500, missing=2, estimated=1)], [""], [""], {})
    kinds = {block.kind: block for block in chart.bars[0].blocks}
    assert set(kinds) == {"missing", "plain", "estimated"}
    assert kinds["missing"].width * 2 == WIDTH - 64 - 8
    nothing = bar_chart("", [bucket(0, missing=4)], [""], [""], {})
    assert [block.kind for block in nothing.bars[0].blocks] == ["missing"]


@given(st.binary(max_size=60))
def test_only_plain_paths_pass(raw: bytes) -> None:
    address = b"/" + raw
    if _is_plain(address):
        path, _, _ = address.partition(b"?")  # what follows is none of the path's business
        assert not set(path) & set(b"%\\;\x00 ~:")
        assert b".." not in path
        assert b"//" not in path


def jobs() -> Jobs:
    return Jobs(lambda size: bytes(range(size)), (ValueError,), lambda line: None)


def test_a_job_is_watched_and_cancelled_at_its_next_tick() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(tick: Tick) -> None:
        tick(1, 4)
        begun.set()
        go_on.wait(PATIENCE)
        tick(2, 4)
        raise AssertionError("it was cancelled")

    many = jobs()
    job = many.begin("x", "anna", "/", "x.html", work)
    assert begun.wait(PATIENCE)
    assert (job.state, job.percent) == (State.RUNNING, 25)
    assert many.find(job.name, "anna") is job
    assert many.find(job.name, "ben") is None
    job.cancel()
    go_on.set()
    assert job.thread is not None
    job.thread.join(PATIENCE)
    assert job.state is State.CANCELLED


def test_a_job_that_is_refused_says_why_and_only_so_many_run() -> None:
    wait = threading.Event()
    many = Jobs(Names(), (ValueError,), lambda line: None)

    def refuse(tick: Tick) -> None:
        wait.wait(PATIENCE)
        raise ValueError("no such thing")

    first = many.begin("x", "anna", "/", "x.html", refuse)
    second = many.begin("x", "anna", "/", "x.html", refuse)
    with pytest.raises(TooManyJobs):
        many.begin("x", "anna", "/", "x.html", refuse)
    wait.set()
    for job in (first, second):
        assert job.thread is not None
        job.thread.join(PATIENCE)
        assert (job.state, str(job.refused)) == (State.FAILED, "no such thing")


class Names:
    """Random bytes that are none: each name is another."""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self, size: int) -> bytes:
        self.last += 1
        return self.last.to_bytes(size, "big")


def test_delays_grow_and_are_forgotten_after_a_day(tmp_path: Path) -> None:
    with Residents.open(tmp_path, lambda: 0, lambda size: bytes(size)) as residents:
        throttle = Throttle(residents.database)
        now, waits = 0, []
        for _ in range(20):
            try:
                throttle.admit("10.0.0.9", "anna", now)
            except TooManyAttempts as error:
                waits.append(error.seconds)
                now += error.seconds
                throttle.admit("10.0.0.9", "anna", now)
        assert waits[:6] == [1, 2, 4, 8, 16, 32]
        assert max(waits) == 3600
        assert throttle.failures("10.0.0.9", "anna") == (20, 16)
        with pytest.raises(TooManyAttempts):
            throttle.admit("10.0.0.9", "anna", now - 1000)  # the clock was set back
        throttle.admit("10.0.0.10", "ben", now + 86_401)
        throttle.admit("10.0.0.9", "anna", now + 86_401)
        assert throttle.failures("10.0.0.9", "anna") == (1, 0)
        throttle.succeeded("10.0.0.9", "anna")
        assert throttle.failures("10.0.0.9", "anna") == (0, 0)


def test_a_stranger_cannot_lock_a_resident_out_for_long(tmp_path: Path) -> None:
    with Residents.open(tmp_path, lambda: 0, lambda size: bytes(size)) as residents:
        throttle = Throttle(residents.database)
        now = 0
        for number in range(60):
            now += 300
            throttle.admit(f"10.0.{number // 256}.{number % 256}", "anna", now)
        with pytest.raises(TooManyAttempts) as told:
            throttle.admit("192.168.1.2", "anna", now)
        assert told.value.seconds == 300


def test_roles_are_what_they_say(tmp_path: Path) -> None:
    assert ResidentRole.OWNER.includes(ResidentRole.READER)
    assert not ResidentRole.READER.includes(ResidentRole.OWNER)
    with Residents.open(tmp_path, lambda: 7, lambda size: bytes(size)) as residents:
        residents.add("anna", ResidentRole.OWNER, "correct horse")
        assert residents.verify("anna", "correct horse") is not None
        assert residents.verify("anna", "correct  horse") is None
        # The same letters, composed otherwise.
        residents.add("zoe", ResidentRole.READER, "caf\u00e9 cr\u00e8me")
        assert residents.verify("zoe", "cafe\u0301 cre\u0300me") is not None
    assert (tmp_path / "residents.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", manifest._STATEMENT.pattern.split("|"))
def test_every_kind_of_statement_is_put_into_words(kind: str, language: str) -> None:
    words = catalogue(language).for_pages(find_zone("Europe/Berlin"))
    terms = ConsentTerms(
        applet=b"", package=b"", recipient="somebody", purpose="something", statement=kind,
        least_days=28, least_minutes=15, answers=3, bits=64, until=date(2030, 1, 31), least_group=5,
        within_days=41,
    )  # fmt: skip
    said = words.consent(terms)
    assert "somebody" in said
    assert words.day(terms.until) in said
    # Of energy in gaps the guard counts answers about the same period alone, and says so.
    assert ("41" in said) is (kind != "unattributed")
    assert words.t(f"manifest.kind_{kind}")
