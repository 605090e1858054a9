# SPDX-License-Identifier: Apache-2.0
"""Many customers of one utility, and what their hubs answer: certified and proved, without hubs."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from applets.billing.charges import plan_bill
from applets.billing.messages import AID, BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.enrolment import Enrolment
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period, Series
from protocols.proofs import NumbersContext, open_numbers
from protocols.secure_channel.keys import StaticKeys
from tariffs import Tariff
from tests.support.answered_home import TARIFF
from tests.support.statements import stated_numbers
from utility_server.retail.utility import Utility

ZONE = "Europe/Berlin"
WEEK = Period.parse("2025-03-03..2025-03-09")


@dataclass(frozen=True, slots=True)
class AnsweringHome:
    """A home that answers questions about days that it has certified."""

    meter: bytes
    keys: CertifierKeys
    minutes: int
    certified: tuple[Certification, ...]

    @property
    def series(self) -> Series:
        """Its register."""
        return Series(self.meter, ACTIVE_ENERGY_IMPORT, ZONE, self.minutes)

    @classmethod
    def make(cls, number: int, period: Period, minutes: int = 60) -> "AnsweringHome":
        """Make a home with a use of its own."""
        dice = random.Random(number)
        meter = b"crowd" + number.to_bytes(5, "big")
        keys = CertifierKeys(dice.randbytes(32), dice.randbytes(32))
        home = cls(meter, keys, minutes, ())
        begin, end = period.bounds(ZONE)
        readings, register = [], dice.randrange(10**6)
        for time in range(begin, end + 1, 60 * minutes):
            readings.append(Reading(time, register))
            register += dice.randrange(4000 * minutes // 60)
        certifier, previous, done = Certifier(home.series, keys), None, []
        for day in period.days(ZONE):
            previous = certifier.certify(day, readings, previous, ())
            done.append(previous)
        return cls(meter, keys, minutes, tuple(done))

    @property
    def enrolment(self) -> Enrolment:
        """What its installer has written for the supplier."""
        keys = StaticKeys(*(bytes([one]) * 16 for one in b"abc"))
        return Enrolment(
            self.meter, ACTIVE_ENERGY_IMPORT, ZONE, self.minutes,
            self.keys.public_key.public_bytes_raw(), AID, AID + b"\x01", 1, keys,
        )  # fmt: skip

    def answer(self, question: BillQuestion, tariff: Tariff = TARIFF) -> bytes:
        """Return the right answer."""
        about = question.about
        days = [one for one in self.certified if about.begin <= one.use.grid.begin < about.end]
        starts = [t for one in days for t in one.use.grid.boundaries()[:-1]]
        states = [int(state) for one in days for state in one.use.states]
        plan = plan_bill(tariff, starts, 60 * self.minutes, states, about.begin, about.end)
        register = self.series.register
        context = NumbersContext(
            self.meter, (register,), about.begin, about.end, self.minutes, tariff.digest,
            RECIPIENT, PURPOSE, about.nonce,
        )  # fmt: skip
        source, encoded = stated_numbers(Certifier(self.series, self.keys), days, [plan.total])
        (number,), proof = open_numbers(context, [source], [plan.total], os.urandom(32))
        return BillAnswer(
            self.meter, about.begin, about.end, about.nonce, plan.amount_of(number),
            tariff.digest, proof, {register: encoded},
        ).encode()  # fmt: skip


@dataclass(frozen=True, slots=True)
class AnsweredCrowd:
    """The homes of a utility, each with an answer that is kept and not entered."""

    homes: tuple[AnsweringHome, ...]
    asked: tuple[tuple[BillQuestion, bytes], ...]

    @property
    def nonces(self) -> list[bytes]:
        """Of the questions, in order."""
        return [question.about.nonce for question, _ in self.asked]


def answered_crowd(
    utility: Utility,
    count: int,
    period: Period = WEEK,
    minutes: int = 60,
    *,
    wrong: Sequence[int] = (),
    first: int = 0,
) -> AnsweredCrowd:
    """Enrol so many homes, ask each for a bill, and keep what they answer.

    Those whose numbers are `wrong` answer what another home used.
    """
    signed = utility.sign(TARIFF)
    homes = [AnsweringHome.make(number, period, minutes) for number in range(first, first + count)]
    asked = []
    for place, home in enumerate(homes):
        utility.customers.enrol(home.enrolment.encode())
        question = utility.question(home.meter, period, signed)
        answer = home.answer(question)
        if place in wrong:
            answer = tampered(answer)
        utility.questions.answered(question, answer)
        asked.append((question, answer))
    return AnsweredCrowd(tuple(homes), tuple(asked))


def tampered(answer: bytes) -> bytes:
    """Return an answer whose amount is a cent more than what its proof is of."""
    told = BillAnswer.decode(answer)
    return replace(told, total=told.total + Decimal("0.01")).encode()
