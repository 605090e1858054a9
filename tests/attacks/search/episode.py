# SPDX-License-Identifier: Apache-2.0
"""One home and one strategy, from its consents to what was found. All follows from the seed."""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.attacks.search.attacker import Attacker
from tests.attacks.search.doors import Doors
from tests.attacks.search.promise import Book, Finding
from tests.attacks.search.questions import (
    Answer,
    Correct,
    Crashed,
    Export,
    Grant,
    Move,
    Narrow,
    Outcome,
    Output,
    Question,
    Refused,
    Revoke,
)
from tests.attacks.search.strategies import CORRECTING, STRATEGIES
from tests.attacks.search.world import World, corrected_world, draw_house, drawn_world

WORKED_OUT: Final = ("sum", "stretch")
"""After one of these an episode ends: from there on anything may follow."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What came of a seed."""

    seed: int
    strategy: str
    requests: int
    permitted: int
    numbers: int
    findings: tuple[Finding, ...]


def play(seed: int, size: str = "small", strategy: str | None = None) -> Episode:
    """Play an episode; all but an engine's mistake ends in findings, or in none."""
    dice = random.Random(seed)
    name = dice.choice(list(STRATEGIES))
    name = strategy or name
    world = drawn_world(dice, size)
    if name in CORRECTING:
        world = corrected_world(world)
    house = draw_house(world, dice)
    with tempfile.TemporaryDirectory(prefix="searcher-") as folder:
        with Doors(Path(folder), world, house) as doors:
            game = _Game(world, house, doors, dice)
            findings = list(game.run(name))
        if dice.random() < 0.25:
            findings += _elsewhere(game, draw_house(world, dice), Path(folder) / "other")
    counts = Counter(game.counts())
    return Episode(
        seed,
        name,
        counts["requests"],
        counts["permitted"],
        counts["numbers"],
        tuple(dict.fromkeys(findings)),
    )


class _Game:
    def __init__(
        self, world: World, house: Sequence[int], doors: Doors, dice: random.Random
    ) -> None:
        self.world = world
        self.record: list[tuple[Move, Outcome]] = []
        self._doors, self._dice = doors, dice
        self._book = Book(world, house)

    def run(self, strategy: str) -> Iterator[Finding]:
        play = STRATEGIES[strategy](Attacker(self.world, self._dice))
        try:
            move = next(play)
            while True:
                outcome = self._made(move)
                for finding in self._seen(move, outcome):
                    yield finding
                    if finding.promise in WORKED_OUT:
                        return
                move = play.send(outcome)
        except StopIteration:
            return

    def counts(self) -> Iterator[str]:
        for move, outcome in self.record:
            if isinstance(move, Question | Export | Output):
                yield "requests"
                if isinstance(outcome, Answer):
                    yield "permitted"
                    yield from ["numbers"] * len(outcome.values)

    def _made(self, move: Move) -> Outcome:
        outcome = self._doors.make(move)
        self.record.append((move, outcome))
        return outcome

    def _seen(self, move: Move, outcome: Outcome) -> Iterator[Finding]:
        book = self._book
        match move, outcome:
            case _, Crashed(error):
                yield Finding("crash", error)
            case Question(), Refused():
                if self._dice.random() < 0.2 and isinstance(self._made(move), Answer):
                    yield Finding("again", "a refused question was answered when asked again")
            case Question(), Answer(values):
                yield from book.note(move, values)
                yield from book.worked_out(move.recipient)
            case Export(), Answer():
                book.note_export(move)
                yield from book.worked_out(move.recipient)
            case Output(), Answer():
                yield from book.note_output(move)
            case Grant(terms), _:
                book.standing.append(terms)
            case Correct(slots), _:
                book.corrected |= slots
            case Revoke(terms), _:
                book.end(terms)
            case Narrow(old, new), Answer():
                book.end(old)
                book.standing.append(new)


def _elsewhere(game: _Game, house: Sequence[int], folder: Path) -> list[Finding]:
    """Make the same moves where the readings are others: refusals may not differ by a byte."""
    folder.mkdir()
    with Doors(folder, game.world, house) as doors:
        for move, before in game.record:
            outcome = doors.make(move)
            same = isinstance(before, Answer) and isinstance(outcome, Answer)
            if not same and outcome != before:
                return [Finding("refusal", f"{before} here, {outcome} where readings differ")]
    return []
