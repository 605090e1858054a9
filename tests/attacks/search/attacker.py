# SPDX-License-Identifier: Apache-2.0
"""What every strategy draws from: terms, periods, slots and numbers, made up from the dice."""

import random
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from tests.attacks.search.doors import TELLS_COINS
from tests.attacks.search.facts import Above, Combined, Expression, Quotient, Rule, Steps, Weighed
from tests.attacks.search.questions import Move, Number, Outcome, Period, Question, Terms
from tests.attacks.search.world import World

Play: TypeAlias = Generator[Move, Outcome, None]
Slots: TypeAlias = frozenset[int]
RECIPIENTS: Final = ("supplier", "grid", "aggregator")
STYLES: Final = (
    *("digits", "near", "only", "complement", "steep"),
    *(("coins", "coins", "coins", "only", "complement") if TELLS_COINS else ()),
)
HIGHEST_PRICE: Final = 4
"""Units of a number a watt-hour, at most: what tells more is not told in coins."""
SUMS: Final = ("linear", "linear", "blocks", "excess")
"""Kinds that can tell a weighed sum; most tell it plainly."""


@dataclass(frozen=True, slots=True)
class Attacker:
    """Who asks: what everybody knows of the home, and dice."""

    world: World
    dice: random.Random

    def terms(self, *, is_fine: bool = False, kind: str = "linear", **changes: object) -> Terms:
        """Return what a resident might agree to: as shipped applets ask for, scaled to the home."""
        world, dice = self.world, self.dice
        slot = world.slot_minutes
        if world.days >= 28:
            days, minutes = 28, 60 if is_fine else 480
        else:
            days = dice.randint(2, max(2, world.days - 2))
            minutes = slot * (dice.choice((2, 3, 4)) if is_fine else dice.choice((8, 12, 16)))
        recipient = dice.choice(RECIPIENTS)
        drawn = Terms(
            recipient=recipient,
            applet=recipient,
            kind=kind,
            days=days,
            minutes=minutes,
            answers=dice.randint(12, 24) if is_fine else dice.randint(2, 6),
            bits=dice.choice((24, 30, 52, 64)),
        )
        return replace(drawn, **changes)  # type: ignore[arg-type]  # fields by name

    def apart(self, first: Terms, second: Terms) -> Terms:
        """Return the second terms with a recipient of its own, half of the time."""
        other = self.dice.choice([one for one in RECIPIENTS if one != first.recipient])
        if self.dice.random() < 0.5 and first.kind != second.kind:
            return replace(second, recipient=first.recipient, applet=first.applet)
        return replace(second, recipient=other, applet=other)

    def period(self, *terms: Terms, register: int = 0) -> Period:
        """Return a period that all terms allow: mostly all days."""
        least = max(one.days for one in terms)
        if self.dice.random() < 0.6 or least >= self.world.days:
            return Period(0, self.world.days, register)
        days = self.dice.randint(least, self.world.days)
        return Period(self.dice.randint(0, self.world.days - days), days, register)

    def slots(self, period: Period) -> list[int]:
        """Return the period's slots that were measured."""
        missing = self.world.missing
        return [slot for slot in period.unknowns(self.world) if slot not in missing]

    def some(self, among: Collection[int], minutes: int) -> Slots:
        """Return slots that last so many minutes: anywhere, or at the same time of each day."""
        order, size = sorted(among), max(1, -(-minutes // self.world.slot_minutes))
        if self.dice.random() < 0.3:
            start = self.dice.randrange(self.world.day_slots)
            order.sort(key=lambda slot: ((slot - start) % self.world.day_slots, slot))
            return frozenset(order[:size])
        return frozenset(self.dice.sample(order, min(size, len(order))))

    def few(self, among: Collection[int], minutes: int) -> Slots:
        """Return slots that last less than so many minutes, mostly a single one."""
        most = max(1, minutes // self.world.slot_minutes - 1)
        size = 1 if self.dice.random() < 0.6 else self.dice.randint(1, most)
        return frozenset(self.dice.sample(sorted(among), min(size, len(among))))

    def packed(self, groups: Sequence[Slots], style: str | None = None) -> dict[int, int]:
        """Return weights by which the use of each group may be read off one number."""
        style = style or self.dice.choice(STYLES)
        order = list(range(len(groups)))
        if self.dice.random() < 0.5:
            order.reverse()
        digits, weight = [0] * len(groups), 1
        for place in order:
            digits[place] = weight
            reach = sum(self.world.bounds(unknown)[1] for unknown in groups[place])
            weight *= reach + 1 + self.dice.randrange(7)
        match style:
            case "digits":
                weights = digits
            case "near":
                # Almost one price for all: the small differences are the digits.
                weights = [weight + digit for digit in digits]
            case "only":
                weights = [self.dice.randint(1, 4), *[0] * (len(groups) - 1)]
            case "complement":
                weights = [0, *[self.dice.randint(1, 4)] * (len(groups) - 1)]
            case "coins":
                # Prices as a tariff has them: not too far apart.
                weights = [self.dice.randint(1, self.dice.choice((4, 50))) for _ in groups]
            case _:
                weights = [self.dice.randint(1, 1 << 24) for _ in groups]
        return {
            unknown: weight
            for group, weight in zip(groups, weights, strict=True)
            for unknown in group
            if weight
        }

    def number(
        self, weights: Mapping[int, int], kind: str = "linear", *, is_free: bool = False
    ) -> Number:
        """Return a number that tells a weighed sum, in the guise of any kind that can.

        It is told in coins unless it `is_free`, or its prices are low.
        """
        part: Expression = Weighed(dict(weights))
        if kind == "blocks":
            prices: dict[int, list[int]] = {}
            for unknown, weight in weights.items():
                prices.setdefault(weight, []).append(unknown)
            reach = self.world.fuse_wh * self.world.size + 1
            blocks = [
                (1, Steps(Weighed.of(unknowns), (reach,), (price, price)))
                for price, unknowns in prices.items()
            ]
            part = Combined(tuple(blocks))
        elif kind == "excess":
            # Nothing uses less than the limit: what lies above it is all but a constant.
            part = Combined(((1, Above(dict(weights), self.dice.randint(1, 9))),))
        highest = max(map(abs, weights.values()), default=0)
        if TELLS_COINS and not is_free and highest > HIGHEST_PRICE:
            divisor = -(-highest // HIGHEST_PRICE) * self.dice.choice((1, 1, 1, 10))
            part = Quotient(part, divisor, self.dice.choice(list(Rule)))
        return Number(kind, (part,))

    def ask(self, terms: Terms, period: Period, *numbers: Number) -> Question:
        """Return a question under some terms."""
        return Question(terms.recipient, terms.applet, period, numbers)

    def kind(self) -> str:
        """Return a kind that can tell a weighed sum."""
        return self.dice.choice(SUMS)
