# SPDX-License-Identifier: Apache-2.0
"""Questions that an attacker would ask, each kind drawn anew from the dice.

A strategy is a generator: it yields moves and is sent what came of them, so the next question may
depend on the last answer. It makes up what the resident agrees to as well: whatever that is, the
promise is about it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tests.attacks.search.attacker import RECIPIENTS, STYLES, Attacker, Play, Slots
from tests.attacks.search.coins import bundles, counting, obscured, remembered, thresholds
from tests.attacks.search.doors import TELLS_COINS
from tests.attacks.search.facts import Above, Combined, Highest, Steps, Weighed
from tests.attacks.search.questions import (
    Answer,
    Correct,
    Export,
    Grant,
    Move,
    Narrow,
    Number,
    Output,
    Period,
    Revoke,
    Terms,
)


def differences(attacker: Attacker) -> Play:
    """Two sums, one with a few slots more, under a fine and a coarse consent, or two alike."""
    dice = attacker.dice
    one = attacker.terms(is_fine=dice.random() < 0.6, kind=attacker.kind())
    other = attacker.apart(one, attacker.terms(is_fine=dice.random() < 0.2, kind=attacker.kind()))
    yield Grant(one)
    yield Grant(other)
    period = attacker.period(one, other)
    slots = attacker.slots(period)
    for _ in range(3):
        minutes = max(one.minutes, other.minutes)
        base = attacker.some(slots, minutes)
        target = attacker.few(set(slots) - base, min(one.minutes, other.minutes))
        sums = [base, base | target]
        dice.shuffle(sums)
        style = dice.choice(STYLES)
        for terms, group in zip((one, other), sums, strict=True):
            weights = attacker.packed([group, frozenset(slots) - group], style)
            yield attacker.ask(terms, period, attacker.number(weights, terms.kind))


def outlived(attacker: Attacker) -> Play:
    """Two sums that differ by a few slots, while a finer consent was given and taken back."""
    dice = attacker.dice
    kind = attacker.kind()
    coarse = attacker.terms(kind=kind)
    fine = replace(coarse, minutes=attacker.world.slot_minutes * dice.choice((1, 2)))
    moves: list[Move] = [Grant(coarse), Grant(fine), Revoke(fine), Grant(coarse)]
    if dice.random() < 0.3:
        narrower = replace(coarse, answers=max(1, coarse.answers - 1))
        moves = [Grant(fine), Narrow(fine, replace(coarse, answers=fine.answers))]
        if dice.random() < 0.5:
            moves = [Grant(fine), Grant(coarse), Revoke(fine), Narrow(coarse, narrower)]
    for move in moves:
        _ = yield move
    period = attacker.period(coarse)
    slots = attacker.slots(period)
    base = attacker.some(slots, 2 * coarse.minutes)
    target = attacker.few(base, coarse.minutes)
    style = dice.choice(STYLES)
    for group in (base, base - target):
        weights = attacker.packed([group, frozenset(slots) - group], style)
        yield attacker.ask(coarse, period, attacker.number(weights, kind))
    yield Revoke(_last(moves))
    yield attacker.ask(coarse, period, attacker.number(attacker.packed([base, target]), kind))


def _last(moves: Sequence[Move]) -> Terms:
    match moves[-1]:
        case Narrow(_, new):
            return new
        case Grant(terms) | Revoke(terms):
            return terms
        case _:
            raise ValueError("no move of the resident's")


def openings(attacker: Attacker) -> Play:
    """Samples or an export, to one or several, and a sum of those slots and a few more."""
    dice, world = attacker.dice, attacker.world
    bill = attacker.terms(is_fine=dice.random() < 0.3, kind=attacker.kind())
    yield Grant(bill)
    period = attacker.period(bill)
    slots = attacker.slots(period)
    known: set[int] = set()
    if dice.random() < 0.5:
        spacing = world.slot_minutes * dice.choice((3, 5, 7))
        sampled = attacker.apart(
            bill, attacker.terms(kind="sample", minutes=spacing, bits=17, days=bill.days)
        )
        yield Grant(sampled)
        step = spacing // world.slot_minutes
        places = [s for s in period.unknowns(world)[dice.randrange(step) :: step] if s in slots]
        numbers = [Number("sample", (Weighed.of([slot]),)) for slot in places]
        outcome = yield attacker.ask(sampled, period, *numbers)
        if isinstance(outcome, Answer):
            known.update(places)
    else:
        for _ in range(dice.randint(1, 2)):
            days = dice.randint(1, min(3, period.days))
            part = Period(period.first + dice.randint(0, period.days - days), days)
            minutes = world.slot_minutes * dice.choice((1, 1, 2, 4))
            yield Export(dice.choice(RECIPIENTS), part, minutes)
            known.update(attacker.slots(part))
    for _ in range(2):
        rest = set(slots) - known
        if not rest or not known:
            return
        target = attacker.few(rest, bill.minutes)
        base = attacker.some(known, bill.minutes)
        weights = attacker.packed([base | target, frozenset(slots) - base - target])
        yield attacker.ask(bill, period, attacker.number(weights, bill.kind))


def lent(attacker: Attacker) -> Play:
    """A fine consent about some days, to read what a coarse one says of the days beside them."""
    dice, world = attacker.dice, attacker.world
    coarse = attacker.terms(kind=attacker.kind())
    fine = attacker.apart(coarse, attacker.terms(is_fine=True, kind=attacker.kind()))
    fine = replace(fine, days=min(fine.days, world.days - 1))
    yield Grant(coarse)
    yield Grant(fine)
    days = dice.randint(fine.days, world.days - 1)
    inner = Period(dice.choice((0, world.days - days)), days)
    outer = Period(0, world.days)
    inside, everything = set(attacker.slots(inner)), set(attacker.slots(outer))
    for _ in range(3):
        target = attacker.few(everything - inside, coarse.minutes)
        base = attacker.some(inside, max(coarse.minutes - world.minutes(target), fine.minutes))
        style = dice.choice(STYLES)
        wide = attacker.packed([base | target, frozenset(everything) - base - target], style)
        near = attacker.packed([base, frozenset(inside) - base], style)
        asked = [
            attacker.ask(coarse, outer, attacker.number(wide, coarse.kind)),
            attacker.ask(fine, inner, attacker.number(near, fine.kind)),
        ]
        dice.shuffle(asked)
        for question in asked:
            _ = yield question


def outputs(attacker: Attacker) -> Play:
    """Releases of an applet that is never asked: larger ones, and ones after its consent's end."""
    dice = attacker.dice
    terms = attacker.terms(kind="output", bits=dice.choice((8, 64)))
    yield Grant(terms)
    for boundary in range(4):
        yield Output(terms, boundary, terms.bits + dice.choice((-1, 0, 1)))
    yield Revoke(terms)
    yield Output(terms, 5, terms.bits)


def curves(attacker: Attacker) -> Play:
    """One answer with many numbers, or with one of many digits: a curve of the period."""
    dice, world = attacker.dice, attacker.world
    terms = attacker.terms(kind=attacker.kind())
    yield Grant(terms)
    period = attacker.period(terms)
    slots = attacker.slots(period)
    size = -(-terms.minutes // world.slot_minutes)
    windows = [frozenset(slots[at : at + size]) for at in range(0, len(slots) - size + 1, size)]
    if dice.random() < 0.5:
        style = dice.choice(("digits", "near"))
        numbers = [
            attacker.number(attacker.packed([w, frozenset(slots) - w], style), terms.kind)
            for w in windows[: dice.randint(2, 12)]
        ]
        yield attacker.ask(terms, period, *numbers)
    for count in (4, 3, 2):
        cuts = sorted(dice.sample(range(len(windows)), min(count, len(windows)) - 1))
        groups = [
            frozenset[int]().union(*windows[low:high])
            for low, high in zip((0, *cuts), (*cuts, len(windows)), strict=True)
        ]
        groups = [group for group in groups if group]
        groups[-1] |= frozenset(slots).difference(*groups)
        weights = attacker.packed(groups, dice.choice(("digits", "near")))
        yield attacker.ask(terms, period, attacker.number(weights, terms.kind))


def shifts(attacker: Attacker) -> Play:
    """Plain sums over periods that are shifted, nested or longer: differences are stretches."""
    dice, world = attacker.dice, attacker.world
    every = [attacker.terms(kind=attacker.kind()) for _ in range(dice.randint(1, 2))]
    for terms in every:
        yield Grant(terms)
    for _ in range(6):
        terms = dice.choice(every)
        period = attacker.period(terms)
        weight = dice.randint(1, 1 << 20)
        slots = attacker.slots(period)
        number = attacker.number(dict.fromkeys(slots, weight), terms.kind)
        if world.missing and dice.random() < 0.5:
            # A missing slot is replaced by the one of a day before: that one counts twice.
            weights = dict.fromkeys(slots, weight)
            for gone in world.missing:
                if gone - world.day_slots in weights:
                    weights[gone - world.day_slots] += weight
            number = attacker.number(weights, terms.kind)
        yield attacker.ask(terms, period, number)


def gaps(attacker: Attacker) -> Play:
    """Two sums whose difference is a stretch of some days, with or without a gap in it."""
    dice = attacker.dice
    one = attacker.terms(kind=attacker.kind())
    other = attacker.apart(one, attacker.terms(kind=attacker.kind()))
    yield Grant(one)
    yield Grant(other)
    period = attacker.period(one, other)
    slots = attacker.slots(period)
    for terms in (one, other, one):
        length = dice.randint(1, max(1, one.days - 1)) * attacker.world.day_slots
        start = dice.randrange(max(1, len(slots) - length))
        stretch = frozenset(slots[start : start + length])
        first, second = dice.randint(1, 99), dice.randint(1, 99)
        flat = {slot: first + second * (slot in stretch) for slot in slots}
        yield attacker.ask(terms, period, attacker.number(flat, terms.kind))


def nearly(attacker: Attacker) -> Play:
    """The same question again and again, with a few weights a little different."""
    dice = attacker.dice
    terms = attacker.terms(is_fine=dice.random() < 0.3, kind=attacker.kind())
    other = attacker.apart(terms, attacker.terms(kind=attacker.kind()))
    yield Grant(terms)
    yield Grant(other)
    period = attacker.period(terms, other)
    slots = attacker.slots(period)
    flat = dict.fromkeys(slots, dice.randint(1_000, 300_000))
    night = {slot for slot in slots if attacker.world.is_quiet(slot)}
    for _ in range(4):
        weights = {slot: weight - (slot in night) * 100 for slot, weight in flat.items()}
        target = attacker.few(slots, terms.minutes)
        for slot in target:
            weights[slot] += dice.choice((-1, 1, 100, 10_000))
        factor = dice.randint(1, 50)
        scaled = {slot: factor * weight for slot, weight in weights.items() if weight}
        for asks in (terms, other):
            yield attacker.ask(asks, period, attacker.number(scaled, asks.kind))


def heavy(attacker: Attacker) -> Play:
    """A high price on a few slots and a low one on quiet ones, of which little is unknown."""
    dice, world = attacker.dice, attacker.world
    terms = attacker.terms(is_fine=dice.random() < 0.3, kind=attacker.kind())
    yield Grant(terms)
    period = attacker.period(terms, register=dice.randrange(len(world.registers)))
    slots = attacker.slots(period)
    quiet = [slot for slot in slots if world.is_quiet(slot)]
    busy = [slot for slot in slots if not world.is_quiet(slot)]
    if not busy or not quiet:
        return
    for ratio in (1_000, 50, 10, 1):
        target = attacker.few(busy, terms.minutes)
        short = dice.choice((0, len(target) * world.slot_minutes))
        base = attacker.some(quiet, terms.minutes - short)
        weights = {**dict.fromkeys(base, 1), **dict.fromkeys(target, ratio)}
        yield attacker.ask(terms, period, attacker.number(weights, terms.kind))


def maxima(attacker: Attacker) -> Play:
    """Peaks of nested sets of windows, with sums of what lies between."""
    dice = attacker.dice
    peak = attacker.terms(kind="demand", is_fine=dice.random() < 0.3)
    total = attacker.apart(peak, attacker.terms(kind=attacker.kind(), days=peak.days))
    yield Grant(peak)
    yield Grant(total)
    period = attacker.period(peak, total)
    slots = attacker.slots(period)
    base = attacker.some(slots, peak.minutes * dice.randint(1, 3))
    for _ in range(4):
        target = attacker.few(slots, peak.minutes)
        windows = sorted(base | target if dice.random() < 0.5 else base - target)
        if not windows:
            return
        size, floor = dice.choice((1, 1, 2, 3)), dice.choice((0, 0, 500))
        cut = dice.choice((0, 0, len(windows) // 2 // size * size))
        groups = [
            Highest(tuple(zip(*[iter(part)] * size, strict=False)), floor)
            for part in (windows[:cut], windows[cut:])
            if len(part) >= size
        ]
        if not groups:
            return
        peaks = Combined(tuple((1, group) for group in groups))
        yield attacker.ask(peak, period, Number("demand", (peaks,)))
        group = frozenset(windows)
        weights = attacker.packed([group, frozenset(slots) - group])
        yield attacker.ask(total, period, attacker.number(weights, total.kind))


def tiers(attacker: Attacker) -> Play:
    """Blocks of several buckets, whose prices are digits, and a sum of what makes up some."""
    dice = attacker.dice
    blocks = attacker.terms(kind="blocks", is_fine=dice.random() < 0.3)
    total = attacker.apart(blocks, attacker.terms(is_fine=dice.random() < 0.3))
    yield Grant(blocks)
    yield Grant(total)
    period = attacker.period(blocks, total)
    slots = attacker.slots(period)
    for _ in range(3):
        base = attacker.some(slots, max(blocks.minutes, total.minutes))
        target = attacker.few(set(slots) - base, min(blocks.minutes, total.minutes))
        groups = [base, frozenset(slots) - base]
        prices = attacker.packed([frozenset([min(group)]) for group in groups if group])
        buckets = []
        for group in groups:
            price = prices.get(min(group), 1)
            limit = dice.randint(1, attacker.world.fuse_wh * len(group))
            steps = Steps(Weighed.of(group), (limit,), (price, price * dice.choice((1, 2, 3))))
            buckets.append((1, steps))
        asked = [attacker.ask(blocks, period, Number("blocks", (Combined(tuple(buckets)),)))]
        weights = attacker.packed([base | target, frozenset(slots) - base - target])
        asked.append(attacker.ask(total, period, attacker.number(weights)))
        dice.shuffle(asked)
        for question in asked:
            _ = yield question


def mixtures(attacker: Attacker) -> Play:
    """Numbers of several kinds in one question, about sets that differ by a few slots."""
    dice = attacker.dice
    first = attacker.terms()
    kinds = ("linear", "blocks", "excess", "demand")
    every = {
        kind: replace(
            attacker.terms(kind=kind, is_fine=dice.random() < 0.3),
            recipient=first.recipient,
            applet=first.applet,
        )
        for kind in kinds
    }
    for terms in every.values():
        yield Grant(terms)
    period = attacker.period(*every.values())
    slots = attacker.slots(period)
    base = attacker.some(slots, max(terms.minutes for terms in every.values()))
    for _ in range(3):
        numbers = []
        for kind in dice.sample(kinds, dice.randint(1, 3)):
            change = attacker.few(slots, every[kind].minutes)
            group = dice.choice((base, base | change, base - change)) or base
            if kind == "demand":
                peak = Highest(tuple((slot,) for slot in sorted(group)))
                numbers.append(Number(kind, (Combined(((1, peak),)),)))
            else:
                weights = attacker.packed([group, frozenset(slots) - group])
                numbers.append(attacker.number(weights, kind))
        yield attacker.ask(first, period, *numbers)


def limits(attacker: Attacker) -> Play:
    """What lies above ever other limits, of sets that differ by a few slots."""
    dice = attacker.dice
    terms = attacker.terms(kind="excess", is_fine=dice.random() < 0.3)
    yield Grant(terms)
    period = attacker.period(terms)
    slots = attacker.slots(period)
    base = attacker.some(slots, terms.minutes * 2)
    for _ in range(4):
        target = attacker.few(base, terms.minutes)
        group = base - target if dice.random() < 0.5 else base
        above = Above(dict.fromkeys(group, dice.randint(1, 9)), dice.choice((1, 500, 2_000)))
        yield attacker.ask(terms, period, Number("excess", (Combined(((1, above),)),)))


def contests(attacker: Attacker) -> Play:
    """Which is larger, a few slots or a known sum, with ever other factors: a search by halves."""
    dice = attacker.dice
    terms = attacker.terms(kind="match", is_fine=dice.random() < 0.5, bits=8, answers=24)
    bill = attacker.apart(terms, attacker.terms(kind=attacker.kind()))
    yield Grant(terms)
    yield Grant(bill)
    period = attacker.period(terms, bill)
    slots = attacker.slots(period)
    base = attacker.some(slots, bill.minutes)
    target = attacker.few(set(slots) - base, terms.minutes)
    weights = attacker.packed([base, frozenset(slots) - base])
    yield attacker.ask(bill, period, attacker.number(weights, bill.kind))
    low, high = 0, 1 << 10
    for _ in range(12):
        middle = (low + high) // 2
        parts = (Weighed.of(target, 1 << 10), Weighed.of(base, max(1, middle)))
        outcome = yield attacker.ask(terms, period, Number("match", parts))
        if not isinstance(outcome, Answer):
            return
        low, high = (middle, high) if outcome.values == (0,) else (low, middle)


def finest(attacker: Attacker) -> Play:
    """A consent as fine as the slots, used up by numbers of many bits, narrowed in between."""
    dice = attacker.dice
    terms = attacker.terms(
        minutes=attacker.world.slot_minutes,
        answers=dice.randint(1, 3),
        bits=dice.choice((40, 56)),
        slot_bits=dice.choice((56, 72, 112)),
    )
    yield Grant(terms)
    for round_ in range(8):
        period = attacker.period(terms)
        slots = attacker.slots(period)
        groups = [frozenset([slot]) for slot in dice.sample(slots, 3)]
        weights = attacker.packed(groups, dice.choice(("digits", "near")))
        for slot in slots:
            weights.setdefault(slot, 1 << 30 if dice.random() < 0.5 else 1)
        numbers = [attacker.number(weights, is_free=True)]
        if dice.random() < 0.2:
            numbers *= 2
        yield attacker.ask(terms, period, *numbers)
        if round_ == 3 and terms.answers > 1:
            narrower = replace(terms, answers=terms.answers - 1)
            yield Narrow(terms, narrower)
            terms = narrower


def sampling(attacker: Attacker) -> Play:
    """Samples of shifted periods, to several recipients, and how near each other they come."""
    dice, world = attacker.dice, attacker.world
    one = attacker.terms(kind="sample", bits=17, minutes=world.slot_minutes * dice.choice((3, 5)))
    other = attacker.apart(one, replace(one, minutes=one.minutes + world.slot_minutes))
    yield Grant(one)
    yield Grant(other)
    step = one.minutes // world.slot_minutes + 1
    for _ in range(5):
        terms = dice.choice((one, other))
        period = attacker.period(terms)
        slots = attacker.slots(period)
        places = slots[dice.randrange(step) :: dice.choice((step, 2 * step))]
        numbers = [Number("sample", (Weighed.of([slot]),)) for slot in places]
        yield attacker.ask(terms, period, *numbers)


def climbs(attacker: Attacker) -> Play:
    """Whatever was answered is split: by ever other sets, with those that are known already."""
    dice, world = attacker.dice, attacker.world
    every = [attacker.terms(is_fine=dice.random() < 0.4, kind=attacker.kind()) for _ in range(3)]
    every = [replace(t, recipient=w, applet=w) for t, w in zip(every, RECIPIENTS, strict=True)]
    for terms in every:
        yield Grant(terms)
    register = dice.randrange(len(world.registers))
    period = attacker.period(*every, register=register)
    slots = frozenset(attacker.slots(period))
    cells: list[Slots] = [slots]
    for _ in range(8):
        terms = dice.choice(every)
        # The smallest thing that may be known, a few slots of another, and what makes it up.
        cells.sort(key=len)
        group = frozenset[int]().union(*dice.sample(cells, dice.randint(0, len(cells) - 1)))
        rest = slots - group
        if rest:
            group |= attacker.few(rest, terms.minutes)
        if world.minutes(group) < terms.minutes:
            group |= attacker.some(slots - group, terms.minutes - world.minutes(group))
        weights = attacker.packed([group, slots - group])
        outcome = yield attacker.ask(terms, period, attacker.number(weights, terms.kind))
        if isinstance(outcome, Answer):
            parts = [part for cell in cells for part in (cell & group, cell - group)]
            cells = [part for part in parts if part]


def anything(attacker: Attacker) -> Play:
    """Random classes, random weights, random kinds and periods, one after the other."""
    dice = attacker.dice
    every = [attacker.terms(is_fine=dice.random() < 0.5, kind=attacker.kind()) for _ in range(3)]
    every = [replace(t, recipient=w, applet=w) for t, w in zip(every, RECIPIENTS, strict=True)]
    for terms in every:
        yield Grant(terms)
    for _ in range(8):
        terms = dice.choice(every)
        period = attacker.period(terms)
        slots = attacker.slots(period)
        groups: list[set[int]] = [set() for _ in range(dice.randint(1, 4))]
        size = dice.choice((1, 4, attacker.world.day_slots // 4))
        for slot in slots:
            groups[hash((slot // size, size)) * 7919 % 1009 % len(groups)].add(slot)
        sets = [frozenset(group) for group in groups if group]
        weights = attacker.packed(sets)
        numbers = [attacker.number(weights, terms.kind)] * dice.choice((1, 1, 1, 2))
        yield attacker.ask(terms, period, *numbers)
        if dice.random() < 0.1:
            yield Revoke(terms)
            yield attacker.ask(terms, period, *numbers)
            yield Grant(terms)


def corrected(attacker: Attacker) -> Play:
    """Sums before and after readings of a few slots were corrected, alone or with many others.

    The few were missing, or were opened, or belong to a sum that was told. What was corrected is
    everybody's to see, and the attacker has the resident correct what suits it.
    """
    dice, world = attacker.dice, attacker.world
    kinds = "linear", "linear", "blocks"
    terms = attacker.terms(is_fine=dice.random() < 0.3, kind=dice.choice(kinds))
    if dice.random() < 0.6:
        least = terms.minutes if dice.random() < 0.7 else 2 * terms.minutes
        terms = replace(terms, corrected_minutes=least)
    other = attacker.apart(terms, replace(terms, kind=dice.choice(kinds)))
    yield Grant(terms)
    yield Grant(other)
    period = attacker.period(terms, other)
    slots, changed = attacker.slots(period), set[int]()
    if dice.random() < 0.3:
        days = dice.choice((period.days, dice.randint(1, min(3, period.days))))
        part = Period(period.first + dice.randint(0, period.days - days), days)
        minutes = world.slot_minutes * dice.choice((1, 1, 2))
        yield Export(dice.choice((terms.recipient, *RECIPIENTS)), part, minutes)
    for round_ in range(5):
        gone = sorted(world.missing.intersection(period.unknowns(world)) - changed)
        there = [slot for slot in period.unknowns(world) if slot not in gone]
        asker = terms if dice.random() < 0.7 else other
        if dice.random() < 0.6:
            weights = dict.fromkeys(there, dice.choice((1, 1, 3, 4)))
        else:
            group = frozenset(attacker.some(there, asker.minutes))
            weights = attacker.packed([group, frozenset(there) - group])
        # What a corrected slot uses is what it was taken for and the correction.
        more = {world.corrected(s): w for s, w in weights.items() if s in changed}
        weights = {s: w for s, w in weights.items() if s not in world.missing} | more
        yield attacker.ask(asker, period, attacker.number(weights, asker.kind))
        if round_ == 4:
            return
        rest = [slot for slot in slots if slot not in changed]
        size = dice.choice((asker.minutes // 2, asker.minutes, 2 * asker.minutes))
        few = attacker.few(rest, asker.minutes) if len(rest) > 1 else frozenset[int]()
        many = attacker.some(rest, size) if rest else frozenset[int]()
        fresh = dice.choice((few, few, many, many | few, frozenset(gone), frozenset(gone) | many))
        fresh = frozenset(slot for slot in fresh if slot not in changed)
        yield Correct(fresh)
        changed |= fresh


CORRECTING: Final = frozenset({"corrected"})
"""Strategies for homes whose readings may be corrected."""


STRATEGIES: Final[Mapping[str, Callable[[Attacker], Play]]] = {
    one.__name__: one
    for one in (
        differences,
        outlived,
        openings,
        lent,
        outputs,
        curves,
        shifts,
        gaps,
        nearly,
        heavy,
        maxima,
        tiers,
        mixtures,
        limits,
        contests,
        finest,
        sampling,
        climbs,
        anything,
        corrected,
        *((counting, thresholds, bundles, obscured, remembered) if TELLS_COINS else ()),
    )
}
