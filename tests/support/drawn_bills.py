# SPDX-License-Identifier: Apache-2.0
"""Bills of homes out of the hat: certified, proved as a hub does it, in bundles with questions.

Nothing here runs an applet or opens a channel. What a bundle holds is what a hub's billing applet
would have answered.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.billing.charges import plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT
from applets.common.questions import NONCE_SIZE, About
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.metrology import Period, Series
from protocols.proofs import NumbersContext, open_numbers, registers_by_slots
from tariffs import Tariff, compute_bill
from tariffs.signing import sign_tariff
from tests.support.statements import sent
from utility_server.retail.verification import BillBundle

SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
REGISTER = bytes.fromhex("0100010800ff")


@dataclass(frozen=True, slots=True)
class DrawnHome:
    """A meter's certified period."""

    series: Series
    keys: CertifierKeys = field(repr=False)
    period: Period
    certified: tuple[Certification, ...] = field(repr=False)

    @classmethod
    def drawn(cls, seed: int, period: Period, zone: str, slot_minutes: int) -> "DrawnHome":
        """Return a home with uses, meter and keys that follow from the seed."""
        dice = random.Random(seed)
        series = Series(b"home %d" % seed, REGISTER, zone, slot_minutes)
        keys = CertifierKeys(dice.randbytes(32), dice.randbytes(32))
        certifier, previous, done = Certifier(series, keys), None, list[Certification]()
        register = dice.randrange(10**7)
        for grid in period.grids(zone, slot_minutes):
            readings = []
            for time in grid.boundaries():
                readings.append(Reading(time, register))
                register += dice.choice((25, 40, 60, 450)) + dice.randrange(60)
            register = readings[-1].register_wh
            previous = certifier.certify(grid.day, readings, previous)
            done.append(previous)
        return cls(series, keys, period, tuple(done))

    @property
    def bounds(self) -> tuple[int, int]:
        """Begin and end of the period."""
        return self.period.bounds(self.series.zone)

    @property
    def starts(self) -> list[int]:
        """When the slots start."""
        return [time for one in self.certified for time in one.use.grid.boundaries()[:-1]]

    @property
    def uses(self) -> list[int]:
        """The slots' uses in watt-hours."""
        return [wh for one in self.certified for wh in one.use.uses]

    def question(self, tariff: Tariff, nonce: bytes = bytes(NONCE_SIZE)) -> BillQuestion:
        """Return what a supplier would ask."""
        about = About(self.series.meter, *self.bounds, nonce)
        return BillQuestion(about, sign_tariff(tariff, SUPPLIER, b"key"))

    def answer(
        self, tariff: Tariff, nonce: bytes = bytes(NONCE_SIZE), *, by_slots: bool | None = None
    ) -> BillAnswer:
        """Return the answer; `by_slots` proves over commitments slot by slot, or over none."""
        begin, end = self.bounds
        seconds, states = 60 * self.series.slot_minutes, [0] * len(self.starts)
        plan = plan_bill(tariff, self.starts, seconds, states, begin, end)
        if by_slots is None:
            [by_slots] = registers_by_slots([plan.total], 1)
        certifier = Certifier(self.series, self.keys)
        days = sent(certifier, self.certified, by_slots=by_slots)
        opening = certifier.opening(self.certified, needs_slots=by_slots)
        source = days.source(opening, needs_slots=by_slots)
        context = NumbersContext(
            self.series.meter, (self.series.register,), begin, end, self.series.slot_minutes,
            tariff.digest, RECIPIENT, PURPOSE, nonce,
        )  # fmt: skip
        (number,), proof = open_numbers(context, [source], [plan.total], self.keys.blinding_secret)
        return BillAnswer(
            self.series.meter, begin, end, nonce, plan.amount_of(number), tariff.digest, proof,
            {self.series.register: tuple(day.encode() for day in days.days)},
        )  # fmt: skip

    def bundle(self, question: BillQuestion, answer: BillAnswer) -> BillBundle:
        """Return what verifies the answer offline."""
        return BillBundle(
            question.encode(),
            answer.encode(),
            self.keys.public_key.public_bytes_raw(),
            SUPPLIER.public_key().public_bytes_raw(),
            self.series.register,
            self.series.zone,
            self.series.slot_minutes,
        )

    def asked(self, tariff: Tariff) -> tuple[BillQuestion, BillBundle]:
        """Return a question and the bundle of its answer."""
        question = self.question(tariff)
        return question, self.bundle(question, self.answer(tariff))

    def reckoned(self, tariff: Tariff) -> str:
        """Return the total that the tariff makes of the readings themselves."""
        begin, end = self.bounds
        bill = compute_bill(
            tariff, self.starts, 60 * self.series.slot_minutes, self.uses, begin=begin, end=end
        )
        return str(bill.total)


def drawn_homes(
    seeds: Sequence[int], period: Period, zone: str, slot_minutes: int
) -> list[DrawnHome]:
    """Return a home for each seed."""
    return [DrawnHome.drawn(seed, period, zone, slot_minutes) for seed in seeds]
