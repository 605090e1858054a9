# SPDX-License-Identifier: Apache-2.0
"""A hub that lies: serves like an honest one, except for one kind of answer.

It holds everything a dishonest resident or vendor would hold, readings and blindings included,
and lies as consistently as that allows; only the certifier, which is sealed, is out of its reach.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import rich_click as click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import AID, BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT
from applets.common.questions import Instruction
from hub.applet_host.memory import AppletMemory
from hub.card.connection import CardConnection
from hub.card.open import Card
from hub.device import Device
from hub.link import serve as serve_link
from hub.machine.bundle import Bundle
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from hub.machine.meter import WorkMeter
from meterlet.commands.common import hub_option, open_machine
from meterlet.commands.serving import announce, run_until_stopped
from meterlet.demo.dishonest_home import SpoiledCard
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import CertifiedDay, CertifiedPeriod, DayContent
from protocols.platform.services import Platform
from protocols.proofs import (
    NumbersContext,
    SlotOpening,
    Source,
    VectorOpening,
    commit,
    commit_many,
    open_numbers_on,
    registers_by_slots,
)
from protocols.proofs.carrying import carried_quantities, state_after
from protocols.proofs.group import ORDER, decode_scalar, encode_scalar
from protocols.proofs.quantity import Quantity
from tariffs import Tariff, combine_states, split_signed_tariff

LONG_ANSWER: Final = 1000
"""Only the bill's answer is as long; a bit flipped there hits the message, not the handshake."""


@dataclass(frozen=True, slots=True)
class Lie:
    """What a lie has to work with."""

    question: BillQuestion
    answer: BillAnswer
    tariff: Tariff
    device: Device

    @property
    def encoded(self) -> tuple[bytes, ...]:
        """The answer's days of the import register; that is what is lied about."""
        code = self.device.main.channel.register
        if code not in self.answer.registers:
            raise ValueError("the bill does not depend on what was used: nothing to lie about")
        return self.answer.registers[code]

    @property
    def days(self) -> list[CertifiedDay]:
        """The same, decoded."""
        return [CertifiedDay.decode(day) for day in self.encoded]

    def with_days(self, days: Sequence[bytes]) -> BillAnswer:
        """Return an answer with other days of the import register."""
        changed = {self.device.main.channel.register: tuple(days)}
        return replace(self.answer, registers={**self.answer.registers, **changed})

    @property
    def by_slots(self) -> bool:
        """Whether the bill is proved over the commitments to slots."""
        return self._by_slots[self._lied_about]

    @property
    def _by_slots(self) -> tuple[bool, ...]:
        return registers_by_slots([self.plan.total], len(self.answer.registers))

    @property
    def _lied_about(self) -> int:
        return list(self.answer.registers).index(self.device.main.channel.register)

    @property
    def opening(self) -> SlotOpening | VectorOpening:
        """The slots' true uses and blindings."""
        meter = self.device.main
        period = meter.period(self.question.about.begin, self.question.about.end)
        return meter.certifier.opening(meter.statement_days(period), needs_slots=self.by_slots)

    @property
    def plan(self) -> Plan:
        """What the bill is of."""
        periods = self._periods
        starts = [t for grid in periods[0].grids for t in grid.boundaries()[:-1]]
        states = combine_states([one.states for one in periods])
        seconds = 60 * self.device.main.slot_minutes
        begin, end = self.question.about.begin, self.question.about.end
        carried, paid = self.question.carried, self.question.paid
        return plan_bill(
            self.tariff, starts, seconds, states, begin, end, carried, paid,
            is_last=self.question.is_last,
        )  # fmt: skip

    @property
    def carried(self) -> dict[str, Quantity]:
        """What the bill goes on from, with what opens it; nothing under a tariff without memory."""
        state = self.question.carried
        if state is None:
            return {}
        kept = AppletMemory(self.device.disclosure.database, AID).find(state)
        return carried_quantities(state, [self.plan.total], kept.openings)

    def from_opening(
        self,
        opening: SlotOpening | VectorOpening,
        carried: Mapping[str, Quantity] | None = None,
    ) -> BillAnswer:
        """Return the answer that these uses and blindings would make of the certified days.

        The proof is over commitments that fit them: over those in the certified days there is none.
        So it is for what is carried, where that is given.
        """
        about, plan, before = self.question.about, self.plan, self.question.carried
        series = self.device.main.certifier.series
        context = NumbersContext(
            meter=series.meter,
            registers=tuple(self.answer.registers),
            begin=about.begin,
            end=about.end,
            slot_minutes=series.slot_minutes,
            parameters=self.tariff.digest,
            recipient=RECIPIENT,
            purpose=PURPOSE,
            nonce=about.nonce + self.question.mark,
            state=b"" if before is None else before.digest,
        )
        sources = [
            self._forged(period, opening)
            if place == self._lied_about
            else self._honest(period, self._by_slots[place])
            for place, period in enumerate(self._periods)
        ]
        known = self.carried if carried is None else carried
        stated, proof = open_numbers_on(context, sources, [plan.total], os.urandom(32), known)
        answer = replace(self.answer, proof=proof, total=plan.amount_of(stated.values[0]))
        if before is None:
            return answer
        return replace(
            answer, state=state_after(before, about.end, [plan.total], stated.kept).digest
        )

    @property
    def _periods(self) -> list[CertifiedPeriod]:
        return [
            CertifiedPeriod(tuple(map(CertifiedDay.decode, days)))
            for days in self.answer.registers.values()
        ]

    @staticmethod
    def _forged(period: CertifiedPeriod, opening: SlotOpening | VectorOpening) -> Source:
        if isinstance(opening, VectorOpening):
            return period.source(opening, needs_slots=False)
        points = commit_many(opening.uses, opening.blindings)
        return replace(period.source(opening, needs_slots=True), commitment=points)

    def _honest(self, period: CertifiedPeriod, by_slots: bool) -> Source:
        meter = self.device.feed_in
        assert meter is not None
        about = self.question.about
        days = meter.statement_days(meter.period(about.begin, about.end))
        opening = meter.certifier.opening(days, needs_slots=by_slots)
        return period.source(opening, needs_slots=by_slots)


def lower_reading(lie: Lie) -> BillAnswer:
    """One reading is changed after it was certified; everything else follows from it."""
    uses = list(lie.opening.uses)
    slot = max(range(len(uses)), key=uses.__getitem__)
    uses[slot] -= uses[slot] // 2 + 1
    return lie.from_opening(replace(lie.opening, uses=tuple(uses)))


def other_commitment(lie: Lie) -> BillAnswer:
    """A day's commitment is replaced by one to 0 Wh."""
    first, *rest = lie.days
    content = first.content
    assert isinstance(content, DayContent)
    forged = replace(first, content=replace(content, vector=commit(0, 1)))
    return lie.with_days([forged.encode(), *(day.encode() for day in rest)])


def lower_fee(lie: Lie) -> BillAnswer:
    """Every use is a tenth lower, and the total follows from it."""
    uses = tuple(wh * 9 // 10 for wh in lie.opening.uses)
    return lie.from_opening(replace(lie.opening, uses=uses))


def forged_state(lie: Lie) -> BillAnswer:
    """What the bills before have left is halved, and the total follows from it."""
    if not lie.carried:
        raise ValueError("the bill goes on from nothing: there is no state to lie about")
    forged = {}
    for name, quantity in lie.carried.items():
        value, blinding = quantity.opened()
        opened = value // 2, blinding
        forged[name] = Quantity(commit(*opened), quantity.limit, opened)
    return lie.from_opening(lie.opening, forged)


def other_state(lie: Lie) -> BillAnswer:
    """The bill is right, but says that it has left another state."""
    return replace(lie.answer, state=bytes(reversed(lie.answer.state)))


def cheaper_tariff(lie: Lie) -> BillAnswer:
    """The bill is right, but under another tariff than the one that was asked under."""
    other = replace(lie.tariff, revision=lie.tariff.revision + 1)
    return replace(lie.answer, tariff=other.digest)


def other_proof(lie: Lie) -> BillAnswer:
    """The last number of the proof is off by one."""
    start, last = lie.answer.proof[:-32], decode_scalar(lie.answer.proof[-32:])
    return replace(lie.answer, proof=start + encode_scalar((last + 1) % ORDER))


def other_signature(lie: Lie) -> BillAnswer:
    """The last day is signed with a key of the hub's own."""
    *rest, last = lie.days
    forged = CertifiedDay.sign(last.content, Ed25519PrivateKey.generate())
    return lie.with_days([*(day.encode() for day in rest), forged.encode()])


def drop_day(lie: Lie) -> BillAnswer:
    """A day is left out."""
    days = lie.encoded
    middle = len(days) // 2
    return lie.with_days(days[:middle] + days[middle + 1 :])


def reorder_day(lie: Lie) -> BillAnswer:
    """Two days have changed places."""
    days = list(lie.encoded)
    middle = len(days) // 2
    days[middle], days[middle + 1] = days[middle + 1], days[middle]
    return lie.with_days(days)


LIES: Final[dict[str, Callable[[Lie], BillAnswer]]] = {
    "reading": lower_reading,
    "commitment": other_commitment,
    "fee": lower_fee,
    "tariff": cheaper_tariff,
    "proof": other_proof,
    "signature": other_signature,
    "drop-day": drop_day,
    "reorder-day": reorder_day,
}
KINDS: Final = (*LIES, "replay", "message")
MEMORY_LIES: Final[dict[str, Callable[[Lie], BillAnswer]]] = {
    "state": forged_state,
    "other-state": other_state,
}
"""Those about a bill that goes on from others, under a tariff with memory."""


@dataclass(slots=True)
class LyingInstance:
    """An applet whose answers to questions are changed on their way out."""

    honest: AppletInstance
    kind: str
    device: Device
    _recorded: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)

    def process(self, command: bytes) -> bytes:
        """Answer honestly, or nearly so."""
        raw = self.honest.process(command)
        apdu, response = CommandApdu.decode(command), ResponseApdu.decode(raw)
        if apdu.ins != Instruction.ASK or not response.is_success:
            return raw
        if self.kind == "replay":
            self._recorded = self._recorded or raw
            return self._recorded
        lies = {**LIES, **MEMORY_LIES}
        if self.kind not in lies:
            return raw
        question = BillQuestion.decode(apdu.data)
        tariff = Tariff.decode(split_signed_tariff(question.document).payload)
        lie = Lie(question, BillAnswer.decode(response.data), tariff, self.device)
        return ResponseApdu(lies[self.kind](lie).encode(), response.sw).encode()


@dataclass(slots=True)
class LyingMachine:
    """A machine whose applets lie."""

    honest: AppletMachine
    kind: str
    device: Device

    def instance(
        self, bundle: Bundle, platform: Platform, meter: WorkMeter | None = None
    ) -> LyingInstance:
        """Return an applet that lies."""
        honest = self.honest.instance(bundle, platform, meter)
        return LyingInstance(honest, self.kind, self.device)


def flip_a_bit(connection: CardConnection, apdu: bytes) -> bytes:
    """Carry an APDU there and the answer back; one bit of a long answer falls over."""
    answer = connection.transmit(apdu)
    if len(answer) < LONG_ANSWER:
        return answer
    place = len(answer) // 2
    return answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]


@click.command()
@click.argument("kind", type=click.Choice((*KINDS, *MEMORY_LIES)))
@hub_option
@click.option("--port", type=int, default=0)
@click.option("--json", "_as_json", is_flag=True)
def serve(kind: str, folder: Path, port: int, _as_json: bool) -> None:
    """Serve like a hub, and lie."""
    with Device.open(folder) as device:
        machine = cast("AppletMachine", LyingMachine(open_machine(), kind, device))
        honest = device.card(machine)
        card = cast("Card", SpoiledCard(honest, flip_a_bit)) if kind == "message" else honest

        run_until_stopped(
            lambda stop: serve_link(
                card,
                device.disclosure,
                "127.0.0.1",
                port,
                announce("meterlet.hub.serve/1"),
                stop,
                tick=lambda: device.tick(honest),
                complain=lambda line: click.echo(line, err=True),
            )
        )
