# SPDX-License-Identifier: Apache-2.0
"""Right answers of many meters, made without a card: to try out what a utility does with them.

    home     a household's month, certified as a hub's certifier does it
    meter    a home under another number: days renamed, chained and signed anew by a key of its own
    answer   what the billing applet of such a meter's hub would have answered to one question

A few homes make many meters, so that ten thousand answers take as long as their proofs. Whoever
verifies the bill of a renamed meter finds nothing wrong, since nothing is: its certifier has signed
that this is what it used. Two meters of one home have the same uses and commitments, which those of
two hubs never have. The commitments to single slots, which no bill by days comes with, are the
home's.

Keys follow from a seed: for a utility that is tried out, and for none that bills anybody.
"""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from applets.billing.charges import plan_bill
from applets.billing.messages import AID, BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.device import CHANNEL_KEY_SIZE, static_keys
from hub.installer import CHANNEL_KEY_VERSION, security_domain_of
from meterlet.fleet.homes import EmulatedHome
from meterlet.fleet.workers import workers
from protocols.enrolment import Enrolment
from protocols.metrology import (
    NO_DAY,
    CertifiedDay,
    CertifiedPeriod,
    DayContent,
    Period,
    Series,
)
from protocols.proofs import NumbersContext, open_numbers, registers_by_slots
from tariffs import Tariff
from tariffs.signing import verify_signed_tariff
from utility_server.retail.utility import Utility
from utility_server.retail.verification import BillBundle

SUFFIX: Final = ".bundle"


@dataclass(frozen=True, slots=True)
class CertifiedHome:
    """A home whose days are certified."""

    home: EmulatedHome
    period: Period
    keys: CertifierKeys = field(repr=False)
    certified: tuple[Certification, ...] = field(repr=False)

    @classmethod
    def certify(cls, home: EmulatedHome, period: Period) -> "CertifiedHome":
        """Return a home whose days are certified from its readings."""
        keys = _certifier_keys(home)
        certifier, previous, done = Certifier(home.series, keys), None, list[Certification]()
        readings = home.readings(period)
        for grid in period.grids(home.zone, home.slot_minutes):
            own = [one for one in readings if grid.begin <= one.time <= grid.end]
            previous = certifier.certify(grid.day, own, previous)
            done.append(previous)
        return cls(home, period, keys, tuple(done))

    def renamed(self, number: int) -> "StoredMeter":
        """Return the meter with this number that has used what this home has."""
        keys = _certifier_keys(replace(self.home, number=number))
        series, link, days = replace(self.home, number=number).series, NO_DAY, list[CertifiedDay]()
        for one in self.certified:
            content = one.day.content
            assert isinstance(content, DayContent)
            own = replace(content, meter=series.meter, mounted=series.meter, previous=link)
            days.append(CertifiedDay.sign(own, keys.signing_key))
            link = days[-1].link
        return StoredMeter(series, keys, self, tuple(days))


@dataclass(frozen=True, slots=True)
class StoredMeter:
    """A meter that answers for its bills, though it has no hub."""

    series: Series
    keys: CertifierKeys = field(repr=False)
    home: CertifiedHome = field(repr=False)
    days: tuple[CertifiedDay, ...] = field(repr=False)

    def answer(self, question: BillQuestion, tariff: Tariff) -> BillAnswer:
        """Return the answer to a question for just the period of the home, under its tariff."""
        home, series, about = self.home, self.series, question.about
        grids = [one.use.grid for one in home.certified]
        starts = [time for grid in grids for time in grid.boundaries()[:-1]]
        states = [state for one in home.certified for state in one.use.states]
        minutes = series.slot_minutes
        plan = plan_bill(tariff, starts, 60 * minutes, states, about.begin, about.end)
        [by_slots] = registers_by_slots([plan.total], 1)
        certifier = Certifier(home.home.series, home.keys)  # whose blindings the commitments have
        days = self.days
        if by_slots:
            points = (certifier.slot_points(one.use) for one in home.certified)
            days = tuple(day.with_slots(own) for day, own in zip(days, points, strict=True))
        opening = certifier.opening(home.certified, needs_slots=by_slots)
        source = CertifiedPeriod(days).source(opening, needs_slots=by_slots)
        context = NumbersContext(
            series.meter, (series.register,), about.begin, about.end, minutes, tariff.digest,
            RECIPIENT, PURPOSE, about.nonce,
        )  # fmt: skip
        seed = self.keys.blinding_secret
        (number,), proof = open_numbers(context, [source], [plan.total], seed)
        return BillAnswer(
            series.meter, about.begin, about.end, about.nonce, plan.amount_of(number),
            tariff.digest, proof, {series.register: tuple(day.encode() for day in days)},
        )  # fmt: skip


def enrolment_of(meter: EmulatedHome) -> Enrolment:
    """Return what a utility is told of a meter that answers without a hub, channel keys too.

    Nobody is at the other end of the channel.
    """
    return Enrolment(
        meter.meter,
        meter.series.register,
        meter.zone,
        meter.slot_minutes,
        _certifier_keys(meter).public_key.public_bytes_raw(),
        AID,
        security_domain_of(AID),
        CHANNEL_KEY_VERSION,
        static_keys(_dice(meter, "channel").randbytes(3 * CHANNEL_KEY_SIZE)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswers:
    """Which answers are to be made, and where they are kept: FOLDER/<meter>.bundle each.

    A bundle has question, answer and public keys (`utility_server.retail.verification`).
    """

    folder: Path
    period: Period
    meters: int
    homes: int
    """Whose readings all meters have; meter n has those of home (n - 1) % homes + 1."""
    seed: int = 1
    zone: str = "Europe/Berlin"
    slot_minutes: int = 15

    def make(
        self, utility: Utility, signed_tariff: bytes, processes: int = 1
    ) -> Iterator[tuple[int, Path]]:
        """Enrol the meters, ask for their bills, and yield each meter's number and bundle.

        The tariff must have no memory and bill one register. What is there already, to the very
        question, is not made again. The questions stay asked: an answer goes to `Utility.verify`,
        or into the queue of what is to be verified. `processes` work at it, niced.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        supplier = utility.keys.public.public_bytes_raw()
        tariff = verify_signed_tariff(signed_tariff, utility.keys.public)
        tasks: list[_Task] = []
        for number in range(1, min(self.homes, self.meters) + 1):
            questions = []
            for place in range(number, self.meters + 1, self.homes):
                meter = self.meter(place)
                utility.customers.enrol(enrolment_of(meter).encode())
                question = utility.question(meter.meter, self.period, signed_tariff)
                if _is_there(self._path(meter), question):
                    yield place, self._path(meter)
                else:
                    questions.append((place, question.encode()))
            if questions:
                tasks.append(_Task(self, number, questions, tariff.encode(), supplier))
        with workers(processes) as pool:
            try:
                for done in as_completed([pool.submit(_make, task) for task in tasks]):
                    for place in done.result():
                        yield place, self._path(self.meter(place))
            finally:
                pool.shutdown(cancel_futures=True)

    def meter(self, number: int) -> EmulatedHome:
        """Return which meter has a number."""
        return EmulatedHome(number, self.seed, self.zone, self.slot_minutes)

    def _path(self, meter: EmulatedHome) -> Path:
        return self.folder / f"{meter.meter.hex()}{SUFFIX}"

    def keep(self, number: int, question: bytes, answer: bytes, supplier: bytes) -> None:
        """Write a meter's bundle, whole or not at all."""
        meter = self.meter(number)
        bundle = BillBundle.of(question, answer, enrolment_of(meter), supplier)
        path = self._path(meter)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(bundle.encode())
        partial.replace(path)


@dataclass(frozen=True, slots=True)
class _Task:
    """The meters of one home, and what is asked of each."""

    answers: StoredAnswers
    home: int
    questions: Sequence[tuple[int, bytes]]
    tariff: bytes
    supplier: bytes


def _make(task: _Task) -> list[int]:
    tariff, kept = Tariff.decode(task.tariff), task.answers
    home = CertifiedHome.certify(kept.meter(task.home), kept.period)
    for number, question in task.questions:
        answer = home.renamed(number).answer(BillQuestion.decode(question), tariff)
        kept.keep(number, question, answer.encode(), task.supplier)
    return [number for number, _ in task.questions]


def _is_there(path: Path, question: BillQuestion) -> bool:
    return path.exists() and BillBundle.decode(path.read_bytes()).question == question.encode()


def _certifier_keys(home: EmulatedHome) -> CertifierKeys:
    return CertifierKeys.generate(_dice(home, "certifier").randbytes)


def _dice(home: EmulatedHome, kind: str) -> random.Random:
    return random.Random(f"meterlet stored {kind} {home.seed} {home.number}")  # noqa: S311
