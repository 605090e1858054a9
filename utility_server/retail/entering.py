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
from typing import Final

from applets.billing.messages import BillQuestion
from utility_server.database import writing
from utility_server.errors import AlreadyBilled, StoreError
from utility_server.retail.batches import check_answers
from utility_server.retail.billing import (
    BilledPeriod,
    BillingUtility,
    CheckedAnswer,
    NotBilled,
    enter_outcomes,
)
from utility_server.retail.claims import BILL
from utility_server.retail.ledger import LEDGER


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
    """Why it was refused or withdrawn."""


MOST_BATCH_BYTES: Final = 1 << 23
"""So much of answers is held at once; a thousand ordinary ones have less."""


def enter_answers(utility: BillingUtility, nonces: Sequence[bytes]) -> list[Entered]:
    """Verify the kept answers to these questions, and enter what each proves or that it does not.

    All or nothing is entered, of `MOST_BATCH_BYTES` together: after an error, or a kill, the rest
    waits as before. Whoever brings the same nonces again, at the same time too, enters none of them
    twice. Raises `StoreError`.
    """
    entered: list[Entered] = []
    while nonces:
        count = utility.questions.first_within(nonces, MOST_BATCH_BYTES)
        entered += _enter_together(utility, nonces[:count])
        nonces = nonces[count:]
    return entered


def _enter_together(utility: BillingUtility, nonces: Sequence[bytes]) -> list[Entered]:
    checked = check_kept(utility, nonces)
    if not checked:
        return []
    meters = sorted({question.about.meter for question, _, _ in checked})
    with writing(utility.engine, LEDGER, *meters) as connection:
        # Under the locks: what another process was faster with, or has another answer by now, is
        # left alone.
        now = utility.questions.answers_now(connection, [question for question, _, _ in checked])
        checked = [
            (question, bundle, outcome)
            for question, bundle, outcome in checked
            if now.get(question.about.nonce) == sha256(bundle.answer).digest()
        ]
        came = enter_outcomes(utility, connection, checked)
    return [_entered(question, one) for (question, _, _), one in zip(checked, came, strict=True)]


def _entered(question: BillQuestion, came: BilledPeriod | NotBilled) -> Entered:
    about = question.about
    if isinstance(came, BilledPeriod):
        return Entered(about.nonce, about.meter, Became.ENTERED, came.entry.sequence)
    became = Became.WITHDRAWN if isinstance(came.error, AlreadyBilled) else Became.REFUSED
    return Entered(about.nonce, about.meter, became, came.entry, str(came.error))


def check_kept(utility: BillingUtility, nonces: Sequence[bytes]) -> list[CheckedAnswer]:
    """Return what the kept answers to these questions prove, without entering anything."""
    supplier = utility.keys.public.public_bytes_raw()
    waiting = utility.questions.kept_answers(nonces)
    meters = {kept.question.about.meter for kept, _ in waiting}
    enrolments = utility.customers.find_all(meters, *BILL.aids) if meters else {}
    asked = []
    for kept, answer in waiting:
        if sha256(answer).digest() != kept.answer:
            raise StoreError(f"meter {kept.question.about.meter.hex()}: the kept answer is damaged")
        enrolment = enrolments[kept.question.about.meter]
        bundle = BILL.bundle.of(kept.question.encode(), answer, enrolment, supplier)
        asked.append((kept.question, bundle))
    outcomes = check_answers(utility, BILL, asked)
    return [(*one, outcome) for one, outcome in zip(asked, outcomes, strict=True)]
