# SPDX-License-Identifier: Apache-2.0
"""Statements for applets: each passes the release guard before it is proved."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Final

from hub.applet_host.certified_days import incomplete
from hub.applet_host.command import CommandStack
from hub.applet_host.cost import (
    RESTATED_FUEL,
    UNATTRIBUTED_FUEL,
    cost_of_amounts,
    cost_of_days,
    cost_of_memory,
    cost_of_numbers,
)
from hub.applet_host.custody import CustodyGate
from hub.applet_host.desk import StatementCase, StatementDesk
from hub.applet_host.memory import AppletMemory, KeptState
from hub.applet_host.prover import ProvedDays, Told, amounts_task, carrying_task, numbers_task
from hub.applet_host.registers import granted_register, period_of
from hub.certifier import Certification
from hub.disclosure import (
    Disclosure,
    Form,
    Number,
    ReleaseRefused,
    ReleaseRequest,
    UnattributedRequest,
    number_of,
)
from hub.disclosure.memory import MemoryStep, cells_of
from hub.machine.manifest import Manifest
from hub.metering import MeteredRegister, PeriodIncomplete
from protocols.amounts import NumberAmount, Total, decode_amounts, decode_numbers, fits
from protocols.carried import CarriedState, StateMalformed
from protocols.metrology import CertifiedPeriod, Period, SlotState
from protocols.metrology.unattributed import LARGEST_LIMIT_WH, show_unattributed
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import (
    BoundedEnergy,
    CarriedNumbers,
    OpenedAmounts,
    OpenedNumbers,
    codes_of,
    names_of,
)
from protocols.proofs import (
    FalseStatement,
    NumbersContext,
    StatementContext,
    needs_slots,
    registers_by_slots,
)
from protocols.proofs.carrying import fit_state, quantities_of, state_after
from protocols.proofs.transcript import DIGEST_SIZE

NONCE_SIZES: Final = range(16, 65)
SEED_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class HubStatements:
    """Proves sums, blocks, excesses and peaks over certified days, once the guard has agreed.

    The applet's `context` is the digest of what its weights stand for (32 bytes) and the
    recipient's nonce (16 to 64 bytes). Recipient and purpose are the manifest's: an applet
    cannot speak in another's name.
    """

    applet: bytes
    package: bytes
    """The digest of the bundle it was installed from."""
    manifest: Manifest
    registers: Mapping[str, MeteredRegister]
    """Those that the manifest names, the main one first (`granted_registers`)."""
    hub_register: str
    """The hub's main register, which the guard knows by no name."""
    disclosure: Disclosure
    stack: CommandStack
    """Of the applets at work: says whether a release stays on record, and has the record."""
    desk: StatementDesk
    """Where what it costs is charged, and decided whether and when it is told."""
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    """Where the seeds of proofs come from."""

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        """Return what the amounts come to and the proof; raise `Refused` where that may not be.

        Raises `WorkInProgress` where the proof takes long and is not made yet.
        """
        self.stack.require_record()
        corrected = self._corrected([register])
        question = self.desk.accept(register, begin, end, amounts, context, *corrected)
        meter = granted_register(self.registers, register)
        parameters, nonce = _parts_of(context)
        asked = self._asked([meter], begin, end)
        described = decode_amounts(amounts)
        if any(form.end > asked.slots for amount in described for form in amount.forms):
            raise Refused(Refusal.MALFORMED)
        named = self._named(register)
        by_slots = [needs_slots(described)]
        about = self._about(meter, begin, end, parameters, nonce)
        outline = Form(begin, asked.step, (), register=named)
        case = StatementCase(
            question,
            cost_of_amounts(described, len(amounts), asked.slots, asked.days, self._releases),
            self._request(
                asked, parameters, [Number(one.kind, (outline,), 0) for one in described]
            ),
            lambda: self._request(
                asked,
                parameters,
                [
                    number_of(
                        one, begin, asked.step, asked.slots, [named], asked.missing, asked.revised
                    )
                    for one in described
                ],
            ),
            lambda: amounts_task(
                about, asked.sources(by_slots), amounts, self.randomness(SEED_SIZE)
            ),
        )
        told, days = self._answer(case, asked, by_slots)
        return OpenedAmounts(told.values, told.proof, days)

    def open_numbers(
        self, registers: bytes, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedNumbers:
        """Return the numbers and the proof; raise `Refused` where that may not be.

        Raises `WorkInProgress` where the proof takes long and is not made yet.
        """
        self.stack.require_record()
        corrected = self._corrected(names_of(registers))
        question = self.desk.accept(registers, begin, end, amounts, context, *corrected)
        asked = self._asked_numbers(registers, begin, end, amounts, context)
        if any(isinstance(one, Total) and one.has_memory for one in asked.described):
            raise Refused(Refusal.MALFORMED)
        case = self._case(
            asked,
            question,
            lambda: [
                number_of(
                    one, begin, asked.step, asked.slots, asked.called, asked.missing, asked.revised
                )
                for one in asked.described
            ],
            lambda: numbers_task(
                asked.about, asked.sources(asked.by_slots), amounts, self.randomness(SEED_SIZE)
            ),
        )
        told, days = self._answer(case, asked, asked.by_slots)
        return OpenedNumbers(told.values, told.proof, days)

    def carry_numbers(
        self, registers: bytes, begin: int, end: int, amounts: bytes, context: bytes, state: bytes
    ) -> CarriedNumbers:
        """Return the numbers, the proof, and the state after; keep what opens that.

        Raises as `open_numbers`; `Refused` (NOT_FOUND) for a state that this applet has not left.
        """
        self.stack.require_record()
        corrected = self._corrected(names_of(registers))
        question = self.desk.accept(registers, begin, end, amounts, context, state, *corrected)
        asked = self._asked_numbers(registers, begin, end, amounts, context)
        memory = AppletMemory(self.disclosure.database, self.applet)
        totals = [one for one in asked.described if isinstance(one, Total)]
        kept = memory.find(_state_before(state, asked.about))
        before = kept.state
        if len(totals) != len(asked.described) or not fit_state(before, totals):
            raise Refused(Refusal.MALFORMED)

        def step() -> MemoryStep:
            return MemoryStep(
                totals, begin, asked.step, asked.slots, asked.called, asked.missing,
                before.digest, kept.remembered, asked.revised,
            )  # fmt: skip

        case = self._case(
            asked,
            question,
            lambda: step().numbers(),
            lambda: carrying_task(
                asked.about, asked.sources(asked.by_slots), amounts, self.randomness(SEED_SIZE),
                before, kept.openings,
            ),
        )  # fmt: skip

        def require() -> None:
            memory.require_next(before, end)
            step().require_room()

        self.desk.meter.charge(cost_of_memory(cells_of(kept.remembered)))
        told, days = self._answer(case, asked, asked.by_slots, require)
        after = state_after(before, end, totals, quantities_of(told.kept))
        keep = partial(memory.keep, KeptState(after, told.kept, step().kept()))
        keep()
        # However the command ends, the release stays on record: so what it hands on is kept, too.
        self.stack.record.permitted.append(keep)
        return CarriedNumbers(told.values, told.proof, days, after.encode())

    def _asked_numbers(
        self, registers: bytes, begin: int, end: int, amounts: bytes, context: bytes
    ) -> "_AskedNumbers":
        names = names_of(registers)
        meters = [granted_register(self.registers, name) for name in names]
        parameters, nonce = _parts_of(context)
        asked = self._asked(meters, begin, end)
        described = decode_numbers(amounts)
        if not fits(described, [asked.slots] * len(meters)):
            raise Refused(Refusal.MALFORMED)
        series = meters[0].certifier.series
        about = NumbersContext(
            meter=series.meter,
            registers=tuple(codes_of(registers)),
            begin=begin,
            end=end,
            slot_minutes=series.slot_minutes,
            parameters=parameters,
            recipient=self.manifest.recipient,
            purpose=self.manifest.purpose,
            nonce=nonce,
        )
        return _AskedNumbers(
            asked.meters, asked.period, asked.days, asked.step, asked.slots, asked.certified,
            about=about, described=described, size=len(amounts),
            called=tuple(map(self._named, names)),
        )  # fmt: skip

    def _case(
        self,
        asked: "_AskedNumbers",
        question: bytes,
        numbers: Callable[[], Sequence[Number]],
        task: Callable[[], bytes],
    ) -> StatementCase:
        about = asked.about
        outline = Form(about.begin, asked.step, (), register=asked.called[0])
        kinds = [
            kind
            for one in asked.described
            for kind in (one.kinds if isinstance(one, Total) else (one.kind,))
        ]
        return StatementCase(
            question,
            cost_of_numbers(
                asked.described, asked.size, asked.slots, asked.days, self._releases,
                len(asked.meters),
            ),
            self._request(asked, about.parameters, [Number(k, (outline,), 0) for k in kinds]),
            lambda: self._request(asked, about.parameters, numbers()),
            task,
        )  # fmt: skip

    def _answer(
        self, case: StatementCase, asked: "_Asked", by_slots: Sequence[bool],
        require: Callable[[], None] = lambda: None,
    ) -> tuple[Told, tuple[bytes, ...]]:  # fmt: skip
        """Return what is told and the days; `require` raises `ReleaseRefused` where none may be."""
        self.desk.require_possible(case)
        try:
            require()
        except ReleaseRefused as refused:
            self.disclosure.record_refusal(case.outline, refused)
            raise self.desk.refused(case, case.outline, refused) from None
        asked.open()
        self.desk.meter.charge(asked.stated_again * RESTATED_FUEL)
        told = self.desk.answer(case)
        # Not before the guard has agreed: a refused question costs no work of the certifier.
        return told, tuple(day for days, _ in asked.sources(by_slots) for day in days)

    def _request(
        self, asked: "_Asked", parameters: bytes, numbers: Sequence[Number]
    ) -> ReleaseRequest:
        """Return one request for all registers: what is told together is told at once."""
        return ReleaseRequest(
            applet=self.applet,
            package=self.package,
            recipient=self.manifest.recipient,
            purpose=self.manifest.purpose,
            days=asked.days,
            numbers=tuple(numbers),
            subject=parameters,
        )

    def bound_unattributed(
        self, register: str, begin: int, end: int, limit_wh: int, context: bytes
    ) -> BoundedEnergy:
        """Show that unattributed energy is within the limit, or open it; raise `Refused`."""
        self.stack.require_record()
        meter = granted_register(self.registers, register)
        parameters, nonce = _parts_of(context)
        asked = self._asked([meter], begin, end)
        if not 0 <= limit_wh <= LARGEST_LIMIT_WH:
            raise Refused(Refusal.MALFORMED)
        self.desk.meter.charge(cost_of_days(asked.days) + UNATTRIBUTED_FUEL)
        asked.open()
        [days] = asked.certified
        self.desk.meter.charge(asked.stated_again * RESTATED_FUEL)
        missing = sum(day.use.states.count(SlotState.MISSING) for day in days)
        request = UnattributedRequest(
            applet=self.applet,
            package=self.package,
            recipient=self.manifest.recipient,
            purpose=self.manifest.purpose,
            subject=parameters,
            register=self._named(register),
            begin=begin,
            end=end,
            days=len(days),
            limit_wh=limit_wh,
            missing_minutes=missing * meter.slot_minutes,
            is_opened=sum(day.use.unattributed_wh for day in days) > limit_wh,
            slot_minutes=meter.slot_minutes,
            revised=meter.revised(asked.period),
        )
        try:
            self.disclosure.permit_unattributed(request)
        except ReleaseRefused as refused:
            raise self.stack.refuse(self.disclosure.facts_of(request), refused) from None
        self.stack.record.permitted.append(partial(self.disclosure.record_unattributed, request))
        about = self._about(meter, begin, end, parameters, nonce)
        days = meter.in_version_2(days)
        secret = meter.certifier.unattributed(days)
        period = CertifiedPeriod(tuple(day.day for day in days))
        try:
            opened, proof = show_unattributed(
                about, period, limit_wh, secret, self.randomness(SEED_SIZE)
            )
        except FalseStatement:  # beyond 63 bits
            raise Refused(Refusal.TOO_MUCH) from None
        values = () if opened is None else (opened,)
        return BoundedEnergy(values, proof, tuple(day.day.encode() for day in days))

    def _about(
        self, meter: MeteredRegister, begin: int, end: int, parameters: bytes, nonce: bytes
    ) -> StatementContext:
        series = meter.certifier.series
        return StatementContext(
            meter=series.meter,
            register=series.register,
            begin=begin,
            end=end,
            slot_minutes=series.slot_minutes,
            parameters=parameters,
            recipient=self.manifest.recipient,
            purpose=self.manifest.purpose,
            nonce=nonce,
        )

    def _asked(self, meters: Sequence[MeteredRegister], begin: int, end: int) -> "_Asked":
        if len({one.certifier.series.meter for one in meters}) != 1:
            raise Refused(
                Refusal.MALFORMED
            )  # each meter has days, slots and a certifier of its own
        period = period_of(meters[0], begin, end)
        self._custody.require(meters, period)
        # Before anything is counted or opened day by day: a period may claim 200 years.
        if not all(meter.may_have(period) for meter in meters):
            raise incomplete(meters, period)
        step = 60 * meters[0].slot_minutes
        days = sum(1 for _ in period.days(meters[0].zone))
        return _Asked(tuple(meters), period, days, step, (end - begin) // step)

    def _corrected(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return how many days of registers were corrected so far, where any were.

        A proof that is being made when a day is corrected is no answer to the question any more.
        """
        meters = [self.registers[name] for name in names if name in self.registers]
        count = sum(meter.journal.corrected(date.min, date.max) for meter in meters)
        return (count,) if count else ()

    @property
    def _custody(self) -> CustodyGate:
        return CustodyGate(self.applet, self.package, self.manifest, self.disclosure, self.stack)

    @property
    def _releases(self) -> int:
        return self.disclosure.log.count("release")

    def _named(self, register: str) -> str:
        """Return how the guard names a register: the main one by no name."""
        return "" if register == self.hub_register else register


def _parts_of(context: bytes) -> tuple[bytes, bytes]:
    """Return the digest and the nonce that a context is."""
    parameters, nonce = context[:DIGEST_SIZE], context[DIGEST_SIZE:]
    if len(nonce) not in NONCE_SIZES:
        raise Refused(Refusal.MALFORMED)
    return parameters, nonce


@dataclass(frozen=True, slots=True)
class _Asked:
    """The registers and days that a question is about; the days are opened when it is paid for."""

    meters: tuple[MeteredRegister, ...]
    period: Period
    days: int
    step: int
    """Seconds of a slot."""
    slots: int
    certified: list[list[Certification]] = field(default_factory=list)
    """Of each register."""
    _sources: list[ProvedDays] = field(default_factory=list)

    def open(self) -> None:
        """Open the days; raise `Refused` (INCOMPLETE) where one is not certified."""
        try:
            self.certified.extend(meter.certifications(self.period) for meter in self.meters)
        except PeriodIncomplete:
            raise incomplete(self.meters, self.period) from None

    @property
    def missing(self) -> list[list[int]]:
        """For each register, the places of slots that are missing: all can see that they are 0."""
        return [
            [
                place
                for place, state in enumerate(state for day in days for state in day.use.states)
                if state is SlotState.MISSING
            ]
            for days in self.certified
        ]

    @property
    def revised(self) -> list[dict[int, int]]:
        """For each register, the places of slots that were corrected, and their revisions."""
        return [
            {
                place: revision
                for place, revision in enumerate(one for day in days for one in day.day.revisions)
                if revision
            }
            for days in self.certified
        ]

    @property
    def stated_again(self) -> int:
        """How many of the opened days are of version 1, to be stated again for a proof."""
        return sum(one.day.version == 1 for days in self.certified for one in days)

    def sources(self, by_slots: Sequence[bool]) -> list[ProvedDays]:
        """Return what a proof follows from; with the slots of the registers that need them."""
        if not self._sources:
            for meter, days, slots in zip(self.meters, self.certified, by_slots, strict=True):
                period, opening = meter.opened(meter.in_version_2(days), needs_slots=slots)
                self._sources.append(([day.encode() for day in period.days], opening))
        return self._sources


@dataclass(frozen=True, slots=True, kw_only=True)
class _AskedNumbers(_Asked):
    """Numbers that are asked for, of so many bytes."""

    about: NumbersContext
    described: tuple[NumberAmount, ...]
    size: int
    called: tuple[str, ...]
    """The registers, as the guard names them."""

    @property
    def by_slots(self) -> tuple[bool, ...]:
        """Whether each register's sums are proved over the commitments to its slots."""
        return registers_by_slots(self.described, len(self.meters))


def _state_before(data: bytes, about: NumbersContext) -> CarriedState:
    """Return the state that numbers go on from; raise `Refused` (MALFORMED) for another's."""
    try:
        state = CarriedState.decode(data)
    except StateMalformed:
        raise Refused(Refusal.MALFORMED) from None
    if (state.meter, state.end) != (about.meter, about.begin):
        raise Refused(Refusal.MALFORMED, "the state is another meter's, or ends at another time")
    return state
