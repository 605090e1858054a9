# SPDX-License-Identifier: Apache-2.0
"""The release guard's public doors. No other module here knows what its requests look like.

Answers are computed from the amounts that the guard was asked about, and again from the attacker's
own expressions: both have to agree.
"""

import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    ConsentTerms,
    Disclosure,
    ExportRequest,
    OutputRequest,
    ReleaseRefused,
    ReleaseRequest,
    UnknownConsent,
    number_of,
)
from hub.disclosure import Number as GuardedNumber
from hub.disclosure.consents import WITH_MEMORY
from hub.disclosure.memory import MemoryStep, RememberedValue
from hub.disclosure.numbers import LARGEST_POWER_W
from hub.vault.database import Database
from protocols.amounts import Above as AboveLimit
from protocols.amounts import (
    Amount,
    AmountsMalformed,
    Best,
    Bucket,
    Carried,
    Combine,
    Count,
    Excess,
    Group,
    Least,
    Metered,
    MeteredAmount,
    Most,
    NumberAmount,
    Peaks,
    QuotientRule,
    Reading,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
    TotalStep,
    decode_amounts,
    decode_numbers,
    encode_amounts,
)
from protocols.amounts import Kept as KeptValue
from tests.attacks.search.facts import (
    Above,
    Combined,
    Counted,
    Expression,
    Extreme,
    Highest,
    Kept,
    Quotient,
    Steps,
    Weighed,
)
from tests.attacks.search.questions import (
    Answer,
    Correct,
    Crashed,
    Export,
    Grant,
    Move,
    Narrow,
    Number,
    Outcome,
    Output,
    Period,
    Question,
    Refused,
    Revoke,
    Terms,
)
from tests.attacks.search.world import BEGIN, World

TELLS_COINS: Final = True
"""Whether the guard knows numbers that are divided and rounded before they are told."""
FAULTS: Final = ArithmeticError, LookupError, TypeError, ValueError, sqlite3.Error, struct.error
"""What no question should get out of the guard: it answers, or it refuses."""
BITS_A_READING: Final = 32
_REGISTERS: Final = ("", "1-0:2.8.0*255")
_OUTPUT: Final = "peak"
_UNTIL: Final = date(2035, 12, 31)
_SUBJECT: Final = sha256(b"a tariff").digest()


class Doors:
    """A guard that has told nothing yet, and the home that it guards."""

    def __init__(self, folder: Path, world: World, house: Sequence[int]) -> None:
        self._world, self._house = world, house
        self._database = Database(
            folder / "hub.db", [LOG_COMPONENT, CONSENT_COMPONENT], key=bytes(32)
        )
        end = BEGIN + (world.days + 10) * 86_400
        self._guard = Disclosure(self._database, lambda: end)
        self._consents: dict[Terms, int] = {}
        self._corrected: frozenset[int] = frozenset()
        self._kept: dict[str, _KeptHere] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def make(self, move: Move) -> Outcome:
        """Make a move; return what whoever made it gets to see."""
        try:
            match move:
                case Question():
                    return self._ask(move)
                case Export():
                    return self._export(move)
                case Output():
                    return self._output(move)
                case Grant(terms):
                    self._consents[terms] = self._guard.grant(_terms(terms)).number
                case Correct(slots):
                    self._corrected |= slots
                case Revoke(terms):
                    self._guard.revoke(self._consents[terms])
                case Narrow(old, new):
                    number = self._consents[old]
                    self._consents[new] = self._guard.narrow(number, _terms(new)).number
        except (AmountsMalformed, ReleaseRefused, UnknownConsent) as refused:
            return Refused(str(refused))
        return Answer()

    def _ask(self, question: Question) -> Outcome:
        if question.keeps or any(_names_in(number.parts[0]) for number in question.numbers):
            return self._ask_on(question)
        described = [self._amount(number, question.period) for number in question.numbers]
        # As the platform decodes them: whatever the wire does not carry never reaches the guard.
        amounts = [_decoded(amount) for amount in described]
        try:
            self._permit(question, amounts)
        except FAULTS as fault:
            return Crashed(repr(fault))
        values = tuple(self._value(amount, question.period) for amount in amounts)
        # The attacker works with what the expressions say: that has to be what was told.
        assert values == tuple(number.value(self._house) for number in question.numbers)
        return Answer(values)

    def _ask_on(self, question: Question) -> Outcome:
        """Ask for one number that goes on from what was kept, and have something kept."""
        [number] = question.numbers
        if not all(name in self._kept for name in _names_in(number.parts[0], *question.keeps)):
            return Refused("nothing is kept under that name")
        described = _Description(self._world, question.period, kept=self._kept)
        total = _decoded(described.remembering(number, question.keeps))
        assert isinstance(total, Total)
        registers = self._registers(question.period)[: total.registers]
        known = {name: one.remembered for name, one in self._kept.items()}
        step = MemoryStep(
            [total],
            BEGIN + question.period.first * 86_400,
            60 * self._world.slot_minutes,
            len(question.period.unknowns(self._world)),
            [_REGISTERS[one.register] for one in registers],
            [self._missing(one) for one in registers],
            sha256(repr(sorted(one.name for one in total.carried)).encode()).digest(),
            known,
        )
        try:
            step.require_room()
            self._guard.permit(self._request(question, step.numbers()))
            remembered = step.kept()
        except FAULTS as fault:
            return Crashed(repr(fault))
        uses = [self._uses(one) for one in registers]
        carried = {name: one.value for name, one in self._kept.items()}
        value, kept = total.value_of(uses, carried), total.kept_of(uses, carried)
        assert value == number.value(self._house)
        for one in total.kept:
            bounds = Carried(one.name, one.low, one.bits)
            self._kept[one.name] = _KeptHere(bounds, remembered[one.name], kept[one.name])
        return Answer((value,))

    def _amount(self, number: Number, period: Period) -> Amount | NumberAmount:
        if self._world.is_corrected:
            folded = [_folded(part, self._world) for part in number.parts]
            number = replace(number, parts=tuple(folded))
        return _Description(self._world, period).number(number)

    def _value(self, amount: Amount | NumberAmount, period: Period) -> int:
        if isinstance(amount, Total):
            return amount.value_of([self._uses(one) for one in self._registers(period)])
        return amount.value_of(self._uses(period))

    def _registers(self, period: Period) -> list[Period]:
        registers = 1 if self._world.is_corrected else len(self._world.registers)
        return [replace(period, register=one) for one in range(registers)]

    def _uses(self, period: Period) -> Sequence[int]:
        return [self._used(unknown) for unknown in period.unknowns(self._world)]

    def _used(self, unknown: int) -> int:
        more = self._house[self._world.corrected(unknown)] if unknown in self._corrected else 0
        return self._house[unknown] + more

    def _revised(self, period: Period) -> dict[int, int]:
        unknowns = period.unknowns(self._world)
        return {u - unknowns.start: 1 for u in unknowns if u in self._corrected}

    def _permit(self, question: Question, amounts: Sequence[Amount | NumberAmount]) -> None:
        period = question.period
        numbers = []
        for amount in amounts:
            about = [period]
            if isinstance(amount, Total):
                about = self._registers(period)[: amount.registers]
            numbers.append(
                number_of(
                    amount,
                    BEGIN + period.first * 86_400,
                    60 * self._world.slot_minutes,
                    len(period.unknowns(self._world)),
                    [_REGISTERS[one.register] for one in about],
                    [self._missing(one) for one in about],
                    [self._revised(one) for one in about],
                )
            )
        self._guard.permit(self._request(question, numbers))

    @staticmethod
    def _request(question: Question, numbers: Sequence[GuardedNumber]) -> ReleaseRequest:
        return ReleaseRequest(
            question.applet.encode(),
            b"package",
            question.recipient,
            "purpose",
            question.period.days,
            tuple(numbers),
            _SUBJECT,
        )

    def _missing(self, period: Period) -> list[int]:
        unknowns = period.unknowns(self._world)
        gone = self._world.missing - self._corrected
        return [u - unknowns.start for u in unknowns if u in gone]

    def _export(self, export: Export) -> Answer:
        terms = self._export_terms(export)
        self._guard.grant(terms)
        begin = BEGIN + export.period.first * 86_400
        merged = export.merged(self._world)
        self._guard.permit_export(
            ExportRequest(
                recipient=export.recipient,
                purpose=terms.purpose,
                resolution_minutes=export.minutes,
                begin=begin,
                end=begin + export.period.days * 86_400,
                subject=terms.statement.removeprefix("export "),
                readings=len(merged),
                bits=BITS_A_READING * len(merged),
                register=_REGISTERS[export.period.register],
                revised=tuple(
                    (BEGIN + 60 * self._world.slot_minutes * unknown, 1)
                    for unknown in export.period.unknowns(self._world)
                    if unknown in self._corrected
                ),
            )
        )
        return Answer(tuple(sum(map(self._used, one)) for one in merged))

    def _output(self, output: Output) -> Answer:
        self._guard.permit_output(
            OutputRequest(
                applet=output.terms.applet.encode(),
                package=b"package",
                recipient=output.terms.recipient,
                purpose="purpose",
                output=_OUTPUT,
                boundary=BEGIN + output.boundary * 86_400,
                bits=output.bits,
            )
        )
        return Answer((0,))

    def _export_terms(self, export: Export) -> ConsentTerms:
        first = datetime.fromtimestamp(BEGIN, UTC).date() + timedelta(export.period.first)
        last = first + timedelta(export.period.days - 1)
        register = _REGISTERS[export.period.register]
        named = f"{register} " if register else ""
        return ConsentTerms(
            applet=b"",
            package=b"",
            recipient=export.recipient,
            purpose="own use",
            statement=f"export {named}{first}/{last}",
            least_days=1,
            least_minutes=export.minutes,
            answers=1,
            bits=1 << 40,
            until=_UNTIL,
        )


def _terms(terms: Terms) -> ConsentTerms:
    return ConsentTerms(
        applet=terms.applet.encode(),
        package=b"package",
        recipient=terms.recipient,
        purpose="purpose",
        statement=f"output {_OUTPUT}" if terms.kind == "output" else terms.kind,
        least_days=terms.days,
        least_minutes=terms.minutes,
        answers=terms.answers,
        bits=terms.bits,
        until=_UNTIL,
        within_days=terms.within_days,
        slot_bits=terms.slot_bits,
        corrected_minutes=terms.corrected_minutes,
        memory_days=terms.memory_days if terms.kind in WITH_MEMORY else 0,
    )


def _folded(part: Expression, world: World) -> Expression:
    """Return an expression of what is known now, by the slots that it is of."""
    match part:
        case Weighed(weights, constant):
            return Weighed({world.folded(u): w for u, w in weights.items()}, constant)
        case Steps(inner):
            inner = Weighed({world.folded(u): w for u, w in inner.weights.items()}, inner.constant)
            return replace(part, part=inner)
        case Combined(terms):
            return replace(part, terms=tuple((f, _folded(one, world)) for f, one in terms))
        case Quotient(inner):
            return replace(part, part=_folded(inner, world))
        case _:
            raise ValueError("no strategy that corrects readings asks for this")


def _decoded(amount: Amount | NumberAmount) -> Amount | NumberAmount:
    packed = encode_amounts([amount])
    [decoded] = decode_numbers(packed) if isinstance(amount, Total) else decode_amounts(packed)
    return decoded


@dataclass(frozen=True, slots=True)
class _KeptHere:
    """What the hub keeps of a value."""

    bounds: Carried
    remembered: RememberedValue
    value: int


def _names_in(*parts: Expression | tuple[str, Expression]) -> set[str]:
    """Return the names of kept values that expressions go on from."""
    names: set[str] = set()
    for part in parts:
        match part:
            case (str(), one):
                names |= _names_in(one)
            case Kept(name):
                names.add(name)
            case Combined(terms):
                names |= _names_in(*(one for _, one in terms))
            case Extreme(others):
                names |= _names_in(*others)
            case Quotient(one):
                names |= _names_in(one)
    return names


_BEHIND_ALL_METERED: Final = 1 << 12


@dataclass(slots=True)
class _Description:
    """How the guard is told of a number."""

    world: World
    period: Period
    metered: list[Metered] = field(default_factory=list)
    steps: list[TotalStep] = field(default_factory=list)
    kept: Mapping[str, _KeptHere] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Of the values that it goes on from, in the order of their places."""

    def remembering(self, number: Number, keeps: Sequence[tuple[str, Expression]]) -> Total:
        """Describe a number that goes on from what is kept, and what is to be kept."""
        part, divisor, rule = number.parts[0], 1, QuotientRule.HALF_UP
        if isinstance(part, Quotient):
            divisor, rule, part = part.divisor, QuotientRule(part.rule), part.part
        self.names = sorted(_names_in(part, *keeps))
        for one in (part, *(expression for _, expression in keeps)):
            self._value(one, _BEHIND_ALL_METERED)
        metered = len(self.metered)
        self.metered.clear()
        self.steps.clear()
        inputs = metered + len(self.names)
        places = {name: self._value(one, inputs) for name, one in keeps}
        last = self._value(part, inputs)
        if last != inputs + len(self.steps) - 1:
            self._step(Combine(((last, 1),)), inputs)
        kept = tuple(
            KeptValue(name, places[name], *self._bounds(one)) for name, one in sorted(keeps)
        )
        carried = tuple(self.kept[name].bounds for name in self.names)
        return Total(tuple(self.metered), tuple(self.steps), divisor, rule, carried, kept)

    def _bounds(self, part: Expression) -> tuple[int, int]:
        """Return bounds that hold whatever a home draws: what is kept has to keep within them."""
        most = -(-LARGEST_POWER_W * self.world.slot_minutes // 60)
        low, high = part.bounds(lambda _: (0, most))
        return low, max(1, (high - low + 1).bit_length())

    def number(self, number: Number) -> Amount | NumberAmount:
        match number.kind, number.parts:
            case "sample", (Weighed(weights),):
                (unknown,) = weights
                return Reading(self._place(unknown))
            case "match", parts:
                return Best(tuple(self._form(part) for part in parts))
        (part,) = number.parts
        if self._is_plain(part):
            plain = self._plain(part)
            if plain.kind == number.kind:
                return plain
        return self._total(part)

    def _total(self, part: Expression) -> Total:
        divisor, rule = 1, QuotientRule.HALF_UP
        if isinstance(part, Quotient):
            divisor, rule = part.divisor, QuotientRule(part.rule)
            part = part.part
        # Metered amounts come first, whatever step they are for: steps count from behind them.
        self._count(part)
        metered = len(self.metered)
        self.metered.clear()
        self._value(part, metered)
        return Total(tuple(self.metered), tuple(self.steps), divisor, rule)

    def _count(self, part: Expression) -> None:
        self._value(part, _BEHIND_ALL_METERED)
        self.steps.clear()

    def _value(self, part: Expression, metered: int) -> int:
        """Describe an expression; return the place of its value."""
        match part:
            case Weighed(weights, constant):
                registers = sorted({u // self.world.slots for u in weights})
                terms = []
                for register in registers:
                    own = {u: w for u, w in weights.items() if u // self.world.slots == register}
                    terms.append((self._metered(register, Sum(self._form(Weighed(own)))), 1))
                if len(terms) == 1 and not constant:
                    return terms[0][0]
                return self._step(Combine(tuple(terms), constant), metered)
            case Steps() | Highest() | Above() | Counted():
                register = next(iter(part.unknowns())) // self.world.slots
                return self._metered(register, self._plain(part))
            case Combined(terms, constant):
                if self._is_plain(part):
                    register = next(iter(part.unknowns())) // self.world.slots
                    return self._metered(register, self._plain(part))
                values = sorted((self._value(one, metered), factor) for factor, one in terms)
                return self._step(Combine(tuple(values), constant), metered)
            case Kept(name):
                if metered == _BEHIND_ALL_METERED:
                    return _BEHIND_ALL_METERED - 1 - self.names.index(name)
                return metered - len(self.names) + self.names.index(name)
            case Extreme(parts, is_largest):
                places = tuple(sorted(self._value(one, metered) for one in parts))
                return self._step(Most(places) if is_largest else Least(places), metered)
            case Quotient(one, divisor, rule):
                place = self._value(one, metered)
                return self._step(Rounding(place, divisor, QuotientRule(rule)), metered)

    def _metered(self, register: int, amount: MeteredAmount) -> int:
        self.metered.append(Metered(register, amount))
        return len(self.metered) - 1

    def _step(self, step: TotalStep, metered: int) -> int:
        self.steps.append(step)
        return metered + len(self.steps) - 1

    def _is_plain(self, part: Expression) -> bool:
        """Tell whether one amount of one register says it, without steps."""
        if len({unknown // self.world.slots for unknown in part.unknowns()}) > 1:
            return False
        match part:
            case Weighed(_, constant):
                return not constant
            case Steps() | Highest() | Above() | Counted():
                return True
            case Combined(terms, 0):
                kinds = {type(one) for _, one in terms}
                same = len(kinds) == 1 and kinds <= {Steps, Highest}
                return all(factor == 1 for factor, _ in terms) and (
                    same or (Above in kinds and kinds <= {Above, Weighed})
                )
            case _:
                return False

    def _plain(self, part: Expression) -> MeteredAmount:
        parts = [one for _, one in part.terms] if isinstance(part, Combined) else [part]
        match parts[0]:
            case Weighed() if len(parts) == 1:
                return Sum(self._form(parts[0]))
            case Counted(windows, limit):
                return Count(
                    tuple(self._placed(dict.fromkeys(window, 1)) for window in windows), limit
                )
            case Steps():
                return Tiered(tuple(self._bucket(one) for one in parts))
            case Highest():
                return Peaks(tuple(self._group(one) for one in parts))
            case _:
                return self._excess(parts)

    def _place(self, unknown: int) -> int:
        slot = unknown % self.world.slots
        return slot - self.period.first * self.world.day_slots

    def _form(self, part: Expression) -> SlotForm:
        assert isinstance(part, Weighed)
        assert not part.constant
        return self._placed(part.weights)

    def _placed(self, weights: Mapping[int, int]) -> SlotForm:
        return SlotForm.of({self._place(unknown): weight for unknown, weight in weights.items()})

    def _bucket(self, part: Expression) -> Bucket:
        assert isinstance(part, Steps)
        return Bucket(self._form(part.part), part.limits, part.prices)

    def _group(self, part: Expression) -> Group:
        assert isinstance(part, Highest)
        windows = tuple(self._placed(dict.fromkeys(window, 1)) for window in part.windows)
        return Group(windows, part.floor)

    def _excess(self, parts: Iterable[Expression]) -> Excess:
        form, above = SlotForm(()), list[AboveLimit]()
        for part in parts:
            if isinstance(part, Above):
                above.append(AboveLimit(part.limit, self._placed(part.weights)))
            else:
                form = self._form(part)
        return Excess(form, tuple(sorted(above, key=lambda one: one.limit)))


def period_of(unknowns: Iterable[int], world: World) -> Period:
    """Return the shortest whole days of one register that some unknowns lie in."""
    every = sorted(unknowns)
    register = every[0] // world.slots
    first = every[0] % world.slots // world.day_slots
    last = every[-1] % world.slots // world.day_slots
    return Period(first, last - first + 1, register)
