# SPDX-License-Identifier: Apache-2.0
"""A part that breaks is run again, later each time; a line tells each change of its state."""

import asyncio
import json
from collections.abc import Callable
from errno import EADDRINUSE
from typing import Any, Final

import pytest

from hub.service.log import LONGEST, Event, Level, ServiceLog, code_of
from hub.service.part import Life, PartKind, PartState, run_async
from hub.service.supervisor import (
    LONGEST_DELAY,
    STEADY_SECONDS,
    SupervisedPart,
    delay_after,
)
from hub.vault.database import DatabaseBusy
from tests.support.waiting import PATIENCE, wait_until

NOON: Final = 1_743_500_000


class Broken(Exception):
    """What breaks a part."""


class Stage:
    """A part with a clock of its own, which passes while the part waits."""

    def __init__(self, *runs: Callable[[Life], None]) -> None:
        self.runs, self.waits, self.lines = list(runs), [], []  # type: ignore[var-annotated]
        self.seconds = 0.0
        log = ServiceLog(self.lines.append, lambda: NOON + int(self.seconds), as_json=True)
        self.part = SupervisedPart(
            "serve", PartKind.SERVE, self.work, log, lambda: self.seconds, self.wait
        )

    def work(self, life: Life) -> None:
        if not self.runs:
            self.part.stop()
            return
        self.runs.pop(0)(life)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    def play(self) -> list[dict[str, Any]]:
        self.part.run()
        return [json.loads(line) for line in self.lines]


def broken(_: Life) -> None:
    raise Broken("the reason, which may name a meter")


def test_it_waits_twice_as_long_each_time_and_a_minute_at_most() -> None:
    stage = Stage(*[broken] * 9)
    stage.play()
    assert stage.waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert delay_after(10**6) == LONGEST_DELAY


def test_after_a_minute_of_work_it_begins_anew() -> None:
    stage = Stage()

    def up_for(seconds: float) -> Callable[[Life], None]:
        def work(life: Life) -> None:
            life.up()
            stage.seconds += seconds
            raise Broken

        return work

    stage.runs = [broken, broken, up_for(STEADY_SECONDS - 1), up_for(STEADY_SECONDS), broken]
    stage.play()
    assert stage.waits == [1, 2, 4, 1, 2]


def test_each_change_is_a_line_and_what_stays_the_same_is_none() -> None:
    stage = Stage(broken, broken, lambda life: life.up("127.0.0.1:1"), lambda life: life.up())
    told = [
        (one["state"], one["from"], one.get("code"), one.get("address")) for one in stage.play()
    ]
    assert told == [
        ("starting", "stopped", None, None),
        ("waiting", "starting", "broken", None),
        ("up", "waiting", None, "127.0.0.1:1"),
        ("waiting", "up", "ended", None),
        ("up", "waiting", None, None),
        ("waiting", "up", "ended", None),
        ("stopped", "waiting", None, None),
    ]
    assert "may name" not in str(stage.lines)


def test_the_owner_is_told_why_and_what_was_kept() -> None:
    stage = Stage()

    def work(life: Life) -> None:
        life.keep(stored=3, code=lambda: "once", gone=lambda: None)
        life.waiting("silent", "nothing came")
        status = stage.part.status()
        assert (status.state, status.code, status.reason) == (
            PartState.WAITING, "silent", "nothing came",
        )  # fmt: skip
        assert status.facts == {"stored": 3, "code": "once"}
        life.keep(code=lambda: 1 // 0)
        assert stage.part.status().facts == {"stored": 3}
        life.keep(code=lambda: "once")
        broken(life)

    stage.runs = [work]
    stage.play()
    assert stage.part.status().broken == 1
    assert stage.part.status().facts == {"stored": 3}, "the run that knew the code is over"


def test_a_bug_of_ours_breaks_one_part_alone() -> None:
    stage = Stage(lambda _: 1 // 0, lambda life: life.up())  # type: ignore[arg-type]
    assert [one["state"] for one in stage.play()] == [
        "starting", "waiting", "up", "waiting", "stopped",
    ]  # fmt: skip


def test_kinds_of_odd_telegrams_are_told_once() -> None:
    def work(life: Life) -> None:
        for kind in ("foreign", "leapt", "foreign"):
            life.set_aside(kind)
        life.days_certified(0)
        life.days_certified(2)

    told = [one for one in Stage(work).play() if one["event"] != "part"]
    assert [(one["event"], one.get("kind"), one.get("days")) for one in told] == [
        ("set-aside", "foreign", None),
        ("set-aside", "leapt", None),
        ("days-certified", None, 2),
    ]


def test_in_a_thread_it_ends_when_it_is_asked_to() -> None:
    lines: list[str] = []
    log = ServiceLog(lines.append, lambda: NOON)

    async def main(stop: asyncio.Event) -> None:
        await stop.wait()

    def work(life: Life) -> None:
        life.up()
        run_async(main, life)

    parts = [
        SupervisedPart("a", PartKind.PAGES, work, log),
        SupervisedPart("b", PartKind.HEALTH, broken, log),  # waits between two runs
    ]
    for part in parts:
        part.start()
    wait_until(lambda: parts[0].status().state is PartState.UP)
    wait_until(lambda: parts[1].status().state is PartState.WAITING)
    for part in parts:
        part.stop()
        assert part.join(PATIENCE)
        assert part.status().state is PartState.STOPPED
    assert f"{'2025-04-01T09:33:20Z'} info part: a is up" in lines


def test_who_asks_late_is_called_at_once() -> None:
    stage, called = Stage(), []
    stage.part.stop()
    stage.part.when_stopping(lambda: called.append(1))
    assert called == [1]


def test_a_line_tells_known_facts_alone_and_stays_a_line() -> None:
    lines: list[str] = []
    log = ServiceLog(lines.append, lambda: NOON)
    with pytest.raises(ValueError, match="no such fact: reading"):
        log.tell(Event.PART, reading=5)
    log.tell(Event.REFUSED, level=Level.ERROR, key="a\nb\x1b[0m", reason="x" * 1000)
    assert lines[0].startswith("2025-04-01T09:33:20Z error configuration-refused: key a?b?[0m")
    assert len(lines[0]) < LONGEST + 120
    log.tell(Event.STOPPING)
    assert lines[1] == "2025-04-01T09:33:20Z info service-stopping"


def test_an_error_is_its_code_without_what_it_says(tmp_path: Any) -> None:
    assert code_of(OSError(EADDRINUSE, "in use", "127.0.0.1:1")) == "eaddrinuse"
    assert code_of(OSError("nothing known")) == "os"
    assert code_of(DatabaseBusy(tmp_path)) == "database-busy"
    assert code_of(ModuleNotFoundError(name="serial")) == "module-not-found"
