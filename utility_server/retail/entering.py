# SPDX-License-Identifier: Apache-2.0
"""Many answers become bills at once: verified in one equation, entered in one transaction.

    nonces -> the kept answers -> verify together, without any lock -> one transaction -> outcomes

What comes of each answer is what `retail.billing.take_answer` makes of it alone. One that is wrong
is entered as refused, and changes nothing for the others. Nonces of questions that do not wait for
their entry, as when they come a second time, are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from applets.billing.messages import BillQuestion
from applets.billing.statement import VerifiedBill
from tariffs import Tariff
from utility_server.database import writing
from utility_server.errors import AlreadyBilled, CannotVerify, StoreError, VerificationFailed
from utility_server.retail.batches import Outcome, check_answers
from utility_server.retail.billing import BillingUtility, enter_bill, enter_refusal
from utility_server.retail.claims import BILL
from utility_server.retail.ledger import LEDGER
from utility_server.retail.questions import State
from utility_server.retail.verification import BillBundle

_Checked = tuple[BillQuestion, BillBundle, Outcome[BillQuestion, Tariff, VerifiedBill]]


class Became(StrEnum):
    """What became of an answer."""

    ENTERED = "entered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    """A part of its period was billed meanwhile."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What came of one answer."""

    nonce: bytes
    meter: bytes
    became: Became
    entry: int
    """The number of its entry; 0 where it was withdrawn."""
    why: str = ""
    """Why it was refused."""


def enter_answers(utility: BillingUtility, nonces: Sequence[bytes]) -> list[Entered]:
    """Verify the kept answers to these questions, and enter what each proves or that it does not.

    All or nothing is entered: after an error, or a kill, they wait as before. Whoever brings the
    same nonces again, at the same time too, enters none of them twice. Raises `StoreError`.
    """
    checked = check_kept(utility, nonces)
    if not checked:
        return []
    meters = sorted({question.about.meter for question, _, _ in checked})
    entered = []
    with writing(utility.engine, LEDGER, *meters) as connection:
        for question, bundle, outcome in checked:
            now = utility.questions.locked(connection, question)
            if now.state is not State.ANSWERED or now.answer != sha256(bundle.answer).digest():
                continue  # another process was faster, or another answer came meanwhile
            about = question.about
            try:
                with connection.begin_nested():  # what it has written of a bill it takes back
                    if isinstance(outcome, Exception):
                        raise outcome
                    billed = enter_bill(utility, connection, question, outcome)
                number, became, why = billed.entry.sequence, Became.ENTERED, ""
            except AlreadyBilled as error:
                utility.questions.move(connection, question, State.WITHDRAWN)
                number, became, why = 0, Became.WITHDRAWN, str(error)
            except (VerificationFailed, CannotVerify) as error:
                number = enter_refusal(utility, connection, question, bundle, error)
                became, why = Became.REFUSED, str(error)
            entered.append(Entered(about.nonce, about.meter, became, number, why))
    return entered


def check_kept(utility: BillingUtility, nonces: Sequence[bytes]) -> list[_Checked]:
    """Return what the kept answers to these questions prove, without entering anything."""
    supplier = utility.keys.public.public_bytes_raw()
    asked = []
    for kept, answer in utility.questions.kept_answers(nonces):
        if sha256(answer).digest() != kept.answer:
            raise StoreError(f"meter {kept.question.about.meter.hex()}: the kept answer is damaged")
        enrolment = utility.customers.find(kept.question.about.meter, *BILL.aids)
        bundle = BILL.bundle.of(kept.question.encode(), answer, enrolment, supplier)
        asked.append((kept.question, bundle))
    outcomes = check_answers(utility, BILL, asked)
    return [(*one, outcome) for one, outcome in zip(asked, outcomes, strict=True)]
