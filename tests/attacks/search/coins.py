# SPDX-License-Identifier: Apache-2.0
"""Strategies against numbers in coins: counts, steps, quotients, what is kept beside a number."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tests.attacks.search.attacker import HIGHEST_PRICE, STYLES, Attacker, Play
from tests.attacks.search.facts import (
    Above,
    Combined,
    Counted,
    Expression,
    Extreme,
    Highest,
    Kept,
    Quotient,
    Rule,
    Steps,
    Weighed,
)
from tests.attacks.search.questions import Answer, Grant, Number, Period

_KINDS: Final[Mapping[type, str]] = {Steps: "blocks", Highest: "demand", Above: "excess"}


def counting(attacker: Attacker) -> Play:
    """How many windows used more than ever other limits: a search by halves for what one used.

    By one recipient or two, over all windows or all but a few, over single slots or hours, one
    limit a number or several packed into one, and beside a sum of a window or of all.
    """
    dice, world = attacker.dice, attacker.world
    terms = attacker.terms(kind="count", is_fine=dice.random() < 0.4, bits=24)
    other = attacker.apart(terms, replace(terms, answers=dice.randint(1, 6)))
    bill = attacker.apart(terms, attacker.terms(kind=attacker.kind()))
    for each in (terms, other, bill):
        yield Grant(each)
    period = attacker.period(terms, other, bill)
    slots, size = attacker.slots(period), world.day_slots
    long = max(1, terms.minutes // world.slot_minutes)
    length = min(dice.choice((1, long - 1 or 1, long, long)), size)
    first = dice.randrange(size - length + 1)
    days: dict[int, list[int]] = {}
    for slot in slots:
        if first <= slot % size < first + length:
            days.setdefault(slot // size, []).append(slot)
    windows = [tuple(window) for window in days.values() if len(window) == length]
    if not windows:
        return
    if dice.random() < 0.3:
        windows = [dice.choice(windows)]
    if dice.random() < 0.4:
        window = dice.choice(windows)
        rest = frozenset(slots) - frozenset(window)
        weights = attacker.packed([frozenset(window), rest] if rest else [frozenset(window)])
        yield attacker.ask(bill, period, attacker.number(weights, bill.kind))
    low, high = 0, max(Weighed.of(windows[0]).bounds(world.bounds)[1], 1)
    for _ in range(dice.randint(4, 9)):
        limit = max(1, (low + high) // 2)
        chosen = windows
        if dice.random() < 0.2 and len(windows) > 1:
            chosen = dice.sample(windows, dice.randint(1, len(windows) - 1))
        count = Counted(tuple(chosen), limit)
        part: Expression = count
        if dice.random() < 0.15:
            more = Counted(tuple(chosen), limit + dice.choice((1, 300, 1_000, 2_000)))
            part = Combined(((1, count), (len(windows) + 1, more)))
        by = dice.choice((terms, terms, other))
        outcome = yield attacker.ask(by, period, Number("count", (part,)))
        if isinstance(outcome, Answer) and part is count:
            # Where the highest window lies; of windows that are all on one side, where each does.
            low, high = (limit, high) if outcome.values[0] else (low, limit)
        elif dice.random() < 0.5:
            low = limit
        else:
            high = limit
        if high - low < 2:
            low, high = 0, dice.randint(1, max(2, high * 2))


def thresholds(attacker: Attacker) -> Play:
    """A sum in coins, with ever other constants and caps: a search for what was rounded off."""
    dice = attacker.dice
    terms = attacker.terms(answers=6, kind="linear")
    other = attacker.apart(terms, attacker.terms(kind="linear", days=terms.days))
    yield Grant(terms)
    yield Grant(other)
    period = attacker.period(terms, other)
    slots = attacker.slots(period)
    group = attacker.some(slots, terms.minutes)
    weights = attacker.packed([group, frozenset(slots) - group], "coins")
    scaled = {slot: 1_000 * weight for slot, weight in weights.items()}
    divisor = -(-max(scaled.values()) // HIGHEST_PRICE)
    low, high = Weighed(scaled).bounds(attacker.world.bounds)
    for place in range(8):
        part: Expression = Weighed(scaled, place * divisor // 8)
        if dice.random() < 0.3:
            cap = Weighed({}, dice.randint(low, high))
            part = Extreme((part, cap), is_largest=dice.random() < 0.5)
        number = Number("linear", (Quotient(part, divisor, dice.choice(list(Rule))),))
        _ = yield attacker.ask(dice.choice((terms, other)), period, number)


def bundles(attacker: Attacker) -> Play:
    """A costly slot among cheap ones of which little is unknown, in numbers that are proportional.

    The cheap ones may be quiet hours, or nights of a register for what panels feed in.
    """
    dice, world = attacker.dice, attacker.world
    terms = attacker.terms(is_fine=dice.random() < 0.3)
    yield Grant(terms)
    registers = [attacker.period(terms, register=one) for one in range(len(world.registers))]
    period = replace(registers[0], register=0)
    every = [attacker.slots(replace(period, register=one.register)) for one in registers]
    quiet = [slot for slot in dice.choice(every) if world.is_quiet(slot)]
    busy = [slot for slot in every[0] if not world.is_quiet(slot)]
    if not busy or not quiet:
        return
    for _ in range(3):
        target = attacker.few(busy, terms.minutes)
        base = attacker.some(quiet, terms.minutes)
        ratio = dice.choice((50, 50, 25, 2))
        weights = {**dict.fromkeys(base, 20), **dict.fromkeys(target, 20 * ratio)}
        for factor in (1, dice.randint(2, 5)):
            scaled = {slot: factor * weight for slot, weight in weights.items()}
            divisor = max(1, factor * 20 * ratio // HIGHEST_PRICE)
            part = Quotient(Weighed(scaled, dice.randrange(divisor)), divisor)
            _ = yield attacker.ask(terms, period, Number("linear", (part,)))


def obscured(attacker: Attacker) -> Play:
    """A few slots beside many that seem to hide them, and then count for nothing.

    The many are held down or up by a limit, rounded off, taken away again, free of charge in their
    block, or below a floor; the limit follows what was answered.
    """
    dice, world = attacker.dice, attacker.world
    terms = attacker.terms(answers=8, kind="linear")
    for kind in ("linear", "blocks", "excess", "demand"):
        yield Grant(replace(terms, kind=kind))
    period = attacker.period(terms)
    slots = attacker.slots(period)
    few = attacker.few(slots, terms.minutes)
    many = frozenset(slots) - few
    part, rest = Weighed.of(few), Weighed.of(many)
    low, high = rest.bounds(world.bounds)
    for _ in range(4):
        middle = dice.choice((0, low, high, (low + high) // 2, dice.randint(low, high)))
        others: tuple[Expression, ...] = (
            Extreme((rest, Weighed({}, middle)), is_largest=dice.random() < 0.5),
            Extreme((rest.plus(part), Weighed({}, middle)), is_largest=dice.random() < 0.5),
            Quotient(rest, dice.choice((2, 10, max(2, high // 2), high + 1))),
            Combined(((1, Combined(((1, rest),), 1)), (-1, rest))),
            Combined(((1, Extreme((rest, part), is_largest=True)), (-1, rest))),
            Extreme((rest, part), is_largest=dice.random() < 0.5),
            Steps(rest, (max(1, middle),), dice.choice(((0, 1), (1, 0), (1, 2)))),
            Highest(tuple((slot,) for slot in sorted(many)), max(0, middle)),
            Above(dict(rest.weights), dice.choice((1, 2, world.fuse_wh))),
        )
        other = dice.choice(others)
        whole: Expression = Combined(((1, part), (dice.choice((1, 1, 1, -1)), other)))
        if dice.random() < 0.3:
            whole = Extreme((whole, Weighed({}, middle)), is_largest=dice.random() < 0.5)
        if dice.random() < 0.7:
            whole = Quotient(whole, dice.choice((2, 2, 100)), dice.choice(list(Rule)))
        kinds = [_KINDS.get(type(other), "linear"), "linear"]
        yield attacker.ask(terms, period, Number("+".join(dict.fromkeys(kinds)), (whole,)))


def remembered(attacker: Attacker) -> Play:
    """A number tells what seems harmless; what is kept beside it comes out by later ones.

    Kept is a sum of a few slots, digits, an extreme or a quotient of them, or what is told but for
    a few; later numbers tell it with more or less of their own period, held down, or taken away.
    """
    dice, world = attacker.dice, attacker.world
    first = dice.randint(1, world.days - 1)
    drawn = attacker.terms(is_fine=dice.random() < 0.3)
    terms = replace(
        drawn,
        days=min(drawn.days, first, world.days - first),
        answers=8,
        memory_days=dice.choice((world.days, world.days, world.days, 1)),
        slot_bits=dice.choice((0, 0, 0, 90)) if drawn.minutes == world.slot_minutes else 0,
    )
    for kind in ("linear", "blocks", "excess", "demand"):
        yield Grant(replace(terms, kind=kind))
    before, after = Period(0, first), Period(first, world.days - first)
    slots, later = attacker.slots(before), attacker.slots(after)
    if len(slots) < 2 or not later:
        return
    base = attacker.some(slots, 2 * terms.minutes)
    few = attacker.few(base, terms.minutes)
    rest = frozenset(slots) - base
    kept: Expression = dice.choice(
        (
            Weighed.of(few),
            Weighed.of(base - few) if base - few else Weighed.of(base),
            Weighed(attacker.packed([few, base - few, rest])),
            Weighed.of(base),
            Extreme((Weighed.of(few), Weighed.of(rest or few)), is_largest=dice.random() < 0.5),
            Quotient(Weighed.of(few), dice.choice((2, 7))),
            Steps(Weighed.of(few), (max(1, world.fuse_wh // 2),), (0, 1)),
        )
    )
    told = Number("linear", (Combined(((1, Weighed.of(slots)),), 1),))
    if dice.random() < 0.3:  # what is left of it once a quotient of it is taken away: itself
        huge = 2 * kept.bounds(world.bounds)[1] + 2
        kept = Combined(((1, kept), (-huge, Quotient(kept, huge, Rule.DOWN))))
    if dice.random() < 0.2:
        few_of_it = Weighed.of(few)
        told = Number("linear", (Combined(((1, few_of_it), (-99, Quotient(few_of_it, 99)))),))
    elif dice.random() < 0.4:
        told = attacker.number(attacker.packed([base, rest], dice.choice(STYLES)))
    _ = yield replace(attacker.ask(terms, before, told), keeps=(("a", kept),))
    group = attacker.some(later, 2 * terms.minutes)
    names: list[tuple[str, Expression]] = [("a", kept)]
    for turn in range(4):
        name, part = dice.choice(names)
        own = Weighed.of(group if dice.random() < 0.7 else attacker.few(later, terms.minutes))
        factor, more = dice.choice((1, 1, 2, -1)), dice.choice((1, 1, 0, 3, -1))
        whole: Expression = Combined(((factor, Kept(name, part)), (more, own)) if more else (
            (factor, Kept(name, part)), (1, Combined(((1, own), (-1, own)), 0))))  # fmt: skip
        if dice.random() < 0.2:
            whole = Extreme((Kept(name, part), own), is_largest=dice.random() < 0.5)
        if dice.random() < 0.5:
            whole = Quotient(whole, dice.choice((2, 2, 20)), dice.choice(list(Rule)))
        keeps: tuple[tuple[str, Expression], ...] = ()
        if dice.random() < 0.3:
            new = f"b{turn}"
            keeps = ((new, Combined(((1, Kept(name, part)), (1, own)))),)
            names.append(keeps[0])
        question = attacker.ask(terms, after, Number("linear", (whole,)))
        _ = yield replace(question, keeps=keeps)
