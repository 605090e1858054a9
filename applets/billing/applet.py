# SPDX-License-Identifier: Apache-2.0
"""The billing applet: says what is to be paid, and never sees a reading.

Installed with the supplier's Ed25519 public key (32 bytes) as its parameters. For a question it
checks that the supplier signed the tariff, asks the calendar which slots the period has, works out
their prices, and asks the platform for Σ price·use with a proof; or, where that one sum does not
make the bill, says which slots count together in blocks and which windows have a peak, and asks for
what each charge comes to. It keeps for the resident, under
`resident/`, the supplier's key, every tariff it answered under and every invoice it was handed.
"""

from decimal import Decimal
from hashlib import sha256
from typing import Final

from applets.billing.charges import Plan, is_one_sum, plan_bill
from applets.billing.messages import (
    CLA,
    Answer,
    BillAnswer,
    BillQuestion,
    ChargesAnswer,
    Instruction,
    MessageRefused,
)
from applets.sdk import Applet, AppletError, Command, Response, StatusWord, instruction
from protocols.amounts import encode_amounts
from tariffs import (
    SignatureRefused,
    Tariff,
    TariffError,
    split_signed_tariff,
    total_from_energy_amount,
)

__all__ = ["BillingApplet"]

REGISTER: Final = "1-0:1.8.0*255"
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
        slots = self.platform.calendar.slots(REGISTER, question.begin, question.end)
        slot_seconds = 60 * self.platform.calendar.grid().slot_minutes
        try:
            if is_one_sum(tariff, question.begin, question.end, slots.states):
                prices = tariff.prices(slots.starts, slot_seconds)
                answer: Answer = self._one_sum(question, tariff, prices)
            else:
                plan = plan_bill(
                    tariff, slots.starts, slot_seconds, slots.states, question.begin, question.end
                )
                answer = self._charges(question, plan)
        except TariffError as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        return answer.encode()

    def _one_sum(self, question: BillQuestion, tariff: Tariff, prices: list[int]) -> BillAnswer:
        opened = self.platform.statements.open_linear(
            REGISTER, question.begin, question.end, prices, tariff.digest + question.nonce
        )
        bill = total_from_energy_amount(tariff, opened.value, question.begin, question.end)
        return BillAnswer(
            meter=question.meter,
            begin=question.begin,
            end=question.end,
            nonce=question.nonce,
            energy_amount=opened.value,
            total=Decimal(bill.total),
            opening=opened.opening,
            binding=opened.digest,
            tariff=tariff.digest,
            days=opened.certified_days,
        )

    def _charges(self, question: BillQuestion, plan: Plan) -> ChargesAnswer:
        opened = self.platform.statements.open_amounts(
            REGISTER,
            question.begin,
            question.end,
            encode_amounts(plan.amounts),
            plan.tariff.digest + question.nonce,
        )
        return ChargesAnswer(
            meter=question.meter,
            begin=question.begin,
            end=question.end,
            nonce=question.nonce,
            total=Decimal(plan.bill(opened.values).total),
            tariff=plan.tariff.digest,
            proof=opened.proof,
            days=opened.certified_days,
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
