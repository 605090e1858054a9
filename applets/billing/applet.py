# SPDX-License-Identifier: Apache-2.0
"""The billing applet: says what is to be paid, and never sees a reading.

An `AskingApplet`, installed with the supplier's key: the document is a tariff. For a question it
asks the calendar which slots the period has, and works out how the total follows from what was used
in them. It asks the platform for that one number, rounded, and is told nothing else. Where the
tariff credits feed-in the number is of both registers; a hub that has no export register answers
6A81. Under a tariff with memory the question carries the state that the bill goes on from; the
answer names the one that it leaves, which the platform keeps. It also keeps for the resident every
invoice it was handed, and every limit of unattributed energy that it was asked with
(`unattributed`).
"""

from hashlib import sha256
from typing import Final

from applets.billing.charges import plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.common.asking import AskingApplet, obis_text
from applets.common.questions import MessageRefused, Question
from applets.common.unattributed import (
    UnattributedAnswer,
    UnattributedLimit,
    UnattributedQuestion,
)
from applets.sdk import (
    AppletError,
    CarriedNumbers,
    OpenedNumbers,
    Refusal,
    Refused,
    Response,
    Slots,
    StatusWord,
)
from tariffs import (
    Register,
    SignatureRefused,
    Tariff,
    TariffError,
    billed_registers,
    combine_states,
)

FED_IN: Final = 2
"""In value group C of an OBIS code, of the register beside that of what is drawn."""
MOST_INVOICE_BYTES: Final = 4096
LIMITS: Final = b"resident/limit/"


class BillingApplet(AskingApplet[Tariff]):
    """Answers with an amount and its proof."""

    question = BillQuestion
    signer_key = b"resident/supplier-key"
    documents = b"resident/tariff/"

    def decode(self, payload: bytes) -> Tariff:
        """Return the tariff that was signed."""
        return Tariff.decode(payload)

    def answer(self, question: Question, document: Tariff) -> bytes:
        """Return the encoded answer: the total, its proof, and the days that it is about."""
        assert isinstance(question, BillQuestion)
        about, carried = question.about, question.carried
        if not document.medium.is_of(self.main_register):
            raise TariffError(f"a tariff for {document.medium}: the register counts something else")
        begin, end = about.begin, about.end
        registers = billed_registers(document, begin, end)
        slots = [self._slots(register, begin, end) for register in registers]
        states = combine_states([one.states for one in slots])
        plan = plan_bill(
            document, slots[0].starts, self.slot_seconds(), states, begin, end, carried,
            question.paid, is_last=question.is_last,
        )  # fmt: skip
        codes, state = [self._code(register) for register in registers], b""
        opened: OpenedNumbers | CarriedNumbers
        if carried is None:
            opened = self.open_numbers(codes, about, document, [plan.total])
        else:
            opened = self.carry_numbers(
                codes, about, document, [plan.total], question.state, question.mark
            )
            state = sha256(opened.state).digest()
        (number,), days = opened.values, len(opened.certified_days) // len(codes)
        return BillAnswer(
            meter=about.meter,
            begin=begin,
            end=end,
            nonce=about.nonce,
            total=plan.amount_of(number),
            tariff=document.digest,
            proof=opened.proof,
            registers={
                code: opened.certified_days[place * days : (place + 1) * days]
                for place, code in enumerate(codes)
            },
            state=state,
        ).encode()

    def bound(self, data: bytes) -> Response:
        """Show that unattributed energy is within the supplier's limit, or open it."""
        try:
            question = UnattributedQuestion.decode(data)
            limit = UnattributedLimit.decode(self.signed(question.document, question.content_type))
            # Before anything is told: it is taken back if that is refused.
            self.platform.store.put(LIMITS + limit.digest, question.document)
        except (MessageRefused, SignatureRefused, TariffError) as error:
            raise AppletError(StatusWord.WRONG_DATA, str(error)) from None
        about = question.about
        shown = self.platform.statements.bound_unattributed(
            obis_text(self.main_register),
            about.begin,
            about.end,
            limit.limit_wh,
            limit.digest + about.nonce,
        )
        answer = UnattributedAnswer(about, shown.proof, limit.digest, shown.certified_days)
        return Response(answer.encode())

    def _code(self, register: Register) -> bytes:
        main = self.main_register
        return main if register is Register.IMPORT else bytes([*main[:2], FED_IN, *main[3:]])

    def _slots(self, register: Register, begin: int, end: int) -> Slots:
        try:
            return self.platform.calendar.slots(obis_text(self._code(register)), begin, end)
        except Refused as refused:
            if register is Register.EXPORT and refused.refusal is Refusal.NOT_FOUND:
                raise AppletError(
                    StatusWord.FUNCTION_NOT_SUPPORTED,
                    "the tariff credits feed-in, and the hub has no feed-in register",
                ) from None
            raise

    def deliver(self, document: bytes) -> Response:
        """Keep an invoice for the resident."""
        # What the invoice says is for the resident's own software to check.
        if not 0 < len(document) <= MOST_INVOICE_BYTES:
            raise AppletError(StatusWord.WRONG_LENGTH)
        name = b"%020d-" % self.platform.clock.now() + sha256(document).digest()[:8]
        self.platform.store.put(b"resident/invoice/" + name, document)
        return Response()
