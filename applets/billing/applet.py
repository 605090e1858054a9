# SPDX-License-Identifier: Apache-2.0
"""The billing applet: says what is to be paid, and never sees a reading.

Installed with the supplier's Ed25519 public key (32 bytes) as its parameters. For a question it
checks that the supplier signed the tariff, asks the calendar which slots the period has, and works
out which amounts make the bill: Σ price·use, or where that one sum does not, which slots count
together in blocks and which windows have a peak. It asks the platform for these amounts with a
proof. Where the tariff credits feed-in it asks for both registers; a hub that has no export
register answers 6A81. It keeps for the resident, under `resident/`, the supplier's key, every
tariff it answered under and every invoice it was handed.
"""

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Final

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import (
    BillAnswer,
    BillQuestion,
    Instruction,
    Proved,
)
from applets.common.questions import CLA, MessageRefused
from applets.sdk import (
    Applet,
    AppletError,
    Command,
    Refusal,
    Refused,
    Response,
    Slots,
    StatusWord,
    instruction,
)
from protocols.amounts import encode_amounts
from tariffs import (
    Register,
    SignatureRefused,
    Tariff,
    TariffError,
    billed_registers,
    combine_states,
    split_signed_tariff,
)

REGISTERS: Final = {Register.IMPORT: "1-0:1.8.0*255", Register.EXPORT: "1-0:2.8.0*255"}
SUPPLIER_KEY: Final = b"resident/supplier-key"
KEY_SIZE: Final = 32
MOST_INVOICE_BYTES: Final = 4096


class BillingApplet(Applet):
    """Answers with an amount and its proof."""

    def install(self, parameters: bytes) -> None:
        """Keep the supplier's public key; whose tariffs else should be believed?"""
        if len(parameters) != KEY_SIZE:
            raise AppletError(StatusWord.WRONG_DATA, "the supplier's public key has 32 bytes")
        self.platform.store.put(SUPPLIER_KEY, parameters)

    def process(self, command: Command) -> Response:
        """Answer a question, or take an invoice."""
        if command.cla != CLA:
            raise AppletError(StatusWord.CLASS_NOT_SUPPORTED)
        match instruction(Instruction, command):
            case Instruction.ASK:
                return Response(self._ask(command.data))
            case Instruction.DELIVER:
                return self._deliver(command.data)

    def _ask(self, data: bytes) -> bytes:
        try:
            question = BillQuestion.decode(data)
            tariff = self._tariff(question.tariff)
        except (MessageRefused, TariffError) as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        # Before anything is told: it is taken back if that is refused.
        self.platform.store.put(b"resident/tariff/" + tariff.digest, question.tariff)
        try:
            answer = self._answer(question, tariff)
        except TariffError as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        return answer.encode()

    def _answer(self, question: BillQuestion, tariff: Tariff) -> BillAnswer:
        begin, end = question.begin, question.end
        registers = billed_registers(tariff, begin, end)
        found = [self._slots(register, begin, end) for register in registers]
        starts, states = found[0].starts, combine_states([slots.states for slots in found])
        slot_seconds = 60 * self.platform.calendar.grid().slot_minutes
        plan = plan_bill(tariff, starts, slot_seconds, states, begin, end)
        return self._prove(question, plan, registers)

    def _slots(self, register: Register, begin: int, end: int) -> Slots:
        try:
            return self.platform.calendar.slots(REGISTERS[register], begin, end)
        except Refused as refused:
            if register is Register.EXPORT and refused.refusal is Refusal.NOT_FOUND:
                raise AppletError(
                    StatusWord.FUNCTION_NOT_SUPPORTED,
                    "the tariff credits feed-in, and the hub has no feed-in register",
                ) from None
            raise

    def _prove(
        self, question: BillQuestion, plan: Plan, registers: Sequence[Register]
    ) -> BillAnswer:
        opened = {
            register: self.platform.statements.open_amounts(
                REGISTERS[register],
                question.begin,
                question.end,
                encode_amounts(plan.amounts(register)),
                plan.tariff.digest + question.nonce,
            )
            for register in registers
        }
        values = [value for one in opened.values() for value in one.values]
        proved = {
            register: Proved(one.proof, one.certified_days) for register, one in opened.items()
        }
        return BillAnswer(
            meter=question.meter,
            begin=question.begin,
            end=question.end,
            nonce=question.nonce,
            total=Decimal(plan.bill(values).total),
            tariff=plan.tariff.digest,
            drawn=proved.get(Register.IMPORT),
            fed_in=proved.get(Register.EXPORT),
        )

    def _tariff(self, document: bytes) -> Tariff:
        parts = split_signed_tariff(document)
        key = self.platform.store.get(SUPPLIER_KEY)
        if key is None or not self.platform.signatures.verify_ed25519(
            key, parts.to_be_signed, parts.signature
        ):
            raise SignatureRefused("the supplier did not sign this tariff")
        return Tariff.decode(parts.payload)

    def _deliver(self, document: bytes) -> Response:
        # What the invoice says is for the resident's own software to check.
        if not 0 < len(document) <= MOST_INVOICE_BYTES:
            raise AppletError(StatusWord.WRONG_LENGTH)
        name = b"%020d-" % self.platform.clock.now() + sha256(document).digest()[:8]
        self.platform.store.put(b"resident/invoice/" + name, document)
        return Response()
