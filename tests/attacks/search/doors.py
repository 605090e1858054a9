# SPDX-License-Identifier: Apache-2.0
"""The release guard's public doors. No other module here knows what its requests look like.

Answers are computed from the amounts that the guard was asked about, and again from the attacker's
own expressions: both have to agree.
"""

import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
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
    number_of,
)
from hub.vault.database import Database
from protocols.amounts import (
    Above as AboveLimit,
)
from protocols.amounts import (
    Amount,
    AmountsMalformed,
    Best,
    Bucket,
    Excess,
    Group,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
    decode_amounts,
    encode_amounts,
)
from tests.attacks.search.facts import Above, Combined, Expression, Highest, Steps, Weighed
from tests.attacks.search.questions import (
    Answer,
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

TELLS_COINS: Final = False
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
        self._database = Database(folder / "hub.db", [CONSENT_COMPONENT, LOG_COMPONENT])
        end = BEGIN + (world.days + 10) * 86_400
        self._guard = Disclosure(self._database, lambda: end)
        self._consents: dict[Terms, int] = {}

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
                case Revoke(terms):
                    self._guard.revoke(self._consents[terms])
                case Narrow(old, new):
                    number = self._consents[old]
                    self._consents[new] = self._guard.narrow(number, _terms(new)).number
        except (AmountsMalformed, ReleaseRefused) as refused:
            return Refused(str(refused))
        return Answer()

    def _ask(self, question: Question) -> Outcome:
        period = question.period
        begin = BEGIN + period.first * 86_400
        unknowns = period.unknowns(self._world)
        described = [_amount(number, unknowns.start) for number in question.numbers]
        # As the platform decodes them: whatever the wire does not carry never reaches the guard.
        amounts = decode_amounts(encode_amounts(described))
        try:
            self._permit(question, amounts, begin, len(unknowns))
        except FAULTS as fault:
            return Crashed(repr(fault))
        uses = self._house[unknowns.start : unknowns.stop]
        values = tuple(amount.value_of(uses) for amount in amounts)
        # The attacker works with what the expressions say: that has to be what was told.
        assert values == tuple(number.value(self._house) for number in question.numbers)
        return Answer(values)

    def _permit(
        self, question: Question, amounts: Sequence[Amount], begin: int, slots: int
    ) -> None:
        register = _REGISTERS[question.period.register]
        seconds = 60 * self._world.slot_minutes
        numbers = tuple(number_of(one, begin, seconds, slots, register) for one in amounts)
        self._guard.permit(
            ReleaseRequest(
                question.applet.encode(),
                b"package",
                question.recipient,
                "purpose",
                question.period.days,
                numbers,
                _SUBJECT,
            )
        )

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
            )
        )
        return Answer(tuple(sum(self._house[unknown] for unknown in one) for one in merged))

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
    )


def _amount(number: Number, first: int) -> Amount:
    """Return the description of a number for a period whose first unknown is `first`."""
    match number.kind, number.parts:
        case "sample", (Weighed(weights),):
            (unknown,) = weights
            return Reading(unknown - first)
        case "match", parts:
            return Best(tuple(_form(part, first) for part in parts))
        case "linear", (Weighed() as part,):
            return Sum(_form(part, first))
        case "blocks", (part,):
            return Tiered(tuple(_bucket(one, first) for _, one in _terms_of(part)))
        case "demand", (part,):
            return Peaks(tuple(_group(one, first) for _, one in _terms_of(part)))
        case "excess", (part,):
            return _excess([one for _, one in _terms_of(part)], first)
    raise ValueError(f"the guard tells no such {number.kind}")


def _terms_of(part: Expression) -> Sequence[tuple[int, Expression]]:
    return part.terms if isinstance(part, Combined) else ((1, part),)


def _form(part: Expression, first: int) -> SlotForm:
    assert isinstance(part, Weighed)
    assert not part.constant
    return _placed(part.weights, first)


def _placed(weights: Mapping[int, int], first: int) -> SlotForm:
    return SlotForm.of({unknown - first: weight for unknown, weight in weights.items()})


def _bucket(part: Expression, first: int) -> Bucket:
    assert isinstance(part, Steps)
    return Bucket(_form(part.part, first), part.limits, part.prices)


def _group(part: Expression, first: int) -> Group:
    assert isinstance(part, Highest)
    windows = tuple(
        SlotForm.of({unknown - first: 1 for unknown in window}) for window in part.windows
    )
    return Group(windows, part.floor)


def _excess(parts: Iterable[Expression], first: int) -> Excess:
    form, above = SlotForm(()), list[AboveLimit]()
    for part in parts:
        if isinstance(part, Above):
            above.append(AboveLimit(part.limit, _placed(part.weights, first)))
        else:
            form = _form(part, first)
    return Excess(form, tuple(sorted(above, key=lambda one: one.limit)))


def period_of(unknowns: Iterable[int], world: World) -> Period:
    """Return the shortest whole days of one register that some unknowns lie in."""
    every = sorted(unknowns)
    register = every[0] // world.slots
    first = every[0] % world.slots // world.day_slots
    last = every[-1] % world.slots // world.day_slots
    return Period(first, last - first + 1, register)
