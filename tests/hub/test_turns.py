# SPDX-License-Identifier: Apache-2.0
"""Turns: one at a time, and whoever has had least is next, however many ask for another."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from hub.turns import HALF_LIFE_SECONDS, FairTurns
from tests.support.waiting import PATIENCE


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.spent = self.wall = 0.0

    def turns(self) -> FairTurns:
        return FairTurns(lambda: self.spent, lambda: self.wall)


def run(play: Callable[[Clock, FairTurns], object]) -> None:
    async def all_of_it() -> None:
        clock = Clock()
        async with asyncio.timeout(PATIENCE):
            await play(clock, clock.turns())  # type: ignore[misc]

    asyncio.run(all_of_it())


def test_who_has_had_little_does_not_stand_behind_a_row_of_others() -> None:
    done: list[str] = []

    async def work(clock: Clock, turns: FairTurns, whose: str, seconds: float) -> None:
        async with turns.turn(whose):
            done.append(whose)
            await asyncio.sleep(0)
            clock.spent += seconds

    async def play(clock: Clock, turns: FairTurns) -> None:
        hogs = [work(clock, turns, "hog", 2) for _ in range(15)]
        await asyncio.gather(*hogs, *(work(clock, turns, "victim", 0.01) for _ in range(3)))

    run(play)
    # What was begun is ended; then those who have had nothing come first.
    assert done[:4] == ["hog", "victim", "victim", "victim"]
    assert len(done) == 18


def test_who_asks_now_and_then_waits_for_one_command_of_others_at_most() -> None:
    done: list[str] = []

    async def ask(clock: Clock, turns: FairTurns, whose: str, seconds: float) -> None:
        while done.count("two") < 20:
            async with turns.turn(whose):
                await asyncio.sleep(0)
                clock.spent += seconds
                clock.wall += seconds
                done.append(whose)

    async def play(clock: Clock, turns: FairTurns) -> None:
        await asyncio.gather(
            *(ask(clock, turns, "one", 2.0) for _ in range(14)), ask(clock, turns, "two", 0.1)
        )

    run(play)
    between = "".join(whose[0] for whose in done[: done.index("two", 10)]).split("t")
    assert max(map(len, between)) <= 2


def test_what_somebody_has_had_is_forgotten_with_time() -> None:
    order: list[str] = []

    async def play(clock: Clock, turns: FairTurns) -> None:
        async with turns.turn("early"):
            clock.spent += 10
        clock.wall += 20 * HALF_LIFE_SECONDS
        async with turns.turn("late"):
            clock.spent += 1

        async def work(whose: str) -> None:
            async with turns.turn(whose):
                order.append(whose)

        async with turns.turn("third"):
            tasks = [asyncio.create_task(work(whose)) for whose in ("late", "early")]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    run(play)
    assert order == ["early", "late"]


def test_who_leaves_while_waiting_takes_no_turn_away() -> None:
    done: list[int] = []

    async def play(_: Clock, turns: FairTurns) -> None:
        async def work(number: int) -> None:
            async with turns.turn(number):
                await asyncio.sleep(0)
                done.append(number)

        async with turns.turn("first"):
            tasks = [asyncio.create_task(work(number)) for number in range(6)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            tasks[3].cancel()
        tasks[1].cancel()  # it may have been let in just now
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        async with turns.turn("last"):
            done.append(-1)

    run(play)
    assert done == [2, 4, 5, -1]
