# SPDX-License-Identifier: Apache-2.0
"""Many customers who are settled, and a head end that gets their answers without any hub."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from applets.settlement.messages import AID, SettlementAnswer, SettlementQuestion, settled_total
from applets.settlement.statement import PURPOSE, RECIPIENT
from hub.certifier import Certifier
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from protocols.metrology import Period
from protocols.proofs import NumbersContext, open_numbers
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.answered_crowd import WEEK, ZONE, AnsweringHome
from tests.support.statements import stated_numbers
from utility_server.errors import HeadEndError
from utility_server.head_end import Address, HeadEnd
from utility_server.retail.settlement import Member
from utility_server.retail.utility import Utility

NOW = 1_750_000_000


def hourly_index(period: Period = WEEK) -> PriceIndex:
    """Return an index with a price for each hour of a period."""
    begin, end = period.bounds(ZONE)
    prices = tuple(100 + hour * 7919 % 4001 for hour in range((end - begin) // 3600))
    return PriceIndex("spot", 1, "EUR", "EUR/MWh", "UTC", PriceSeries(begin, 3600, prices))


@dataclass
class SettledHomes(HeadEnd):
    """Answers for homes; some are away, and some use another's answer."""

    homes: dict[bytes, AnsweringHome] = field(default_factory=dict)
    index: PriceIndex = field(default_factory=lambda: hourly_index())
    known: dict[bytes, bytes] = field(default_factory=dict)
    """Answers that need not be made again, by their questions."""
    away: frozenset[bytes] = frozenset()
    wrong: frozenset[bytes] = frozenset()
    asked: Callable[[bytes], object] = lambda _meter: None
    at_once: list[int] = field(default_factory=lambda: [0, 0])
    """How many are asked just now, and how many were at most."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        """Return the answer to a settlement question."""
        with self._lock:
            self.at_once[0] += 1
            self.at_once[1] = max(self.at_once)
        try:
            self.asked(enrolment.meter)
            if enrolment.meter in self.away:
                raise HeadEndError(f"{address}: away")
            self.traffic.sent += len(command.data)
            question = SettlementQuestion.decode(command.data)
            if command.data not in self.known:
                home, is_wrong = self.homes[enrolment.meter], enrolment.meter in self.wrong
                self.known[command.data] = answer(home, question, self.index, is_wrong=is_wrong)
            return self.known[command.data]
        finally:
            with self._lock:
                self.at_once[0] -= 1


def answer(
    home: AnsweringHome, question: SettlementQuestion, index: PriceIndex, *, is_wrong: bool = False
) -> bytes:
    """Return what applet and platform make of a question; a wrong one is proved for another."""
    about = question.about
    part = index.between(about.begin, about.end)
    days = [one for one in home.certified if about.begin <= one.use.grid.begin < about.end]
    starts = [t for one in days for t in one.use.grid.boundaries()[:-1]]
    nonce = bytes(len(about.nonce)) if is_wrong else about.nonce
    context = NumbersContext(
        home.meter, (home.series.register,), about.begin, about.end, home.minutes, part.digest,
        RECIPIENT, PURPOSE, nonce,
    )  # fmt: skip
    total = settled_total(part.weights(starts, 60 * home.minutes))
    source, encoded = stated_numbers(Certifier(home.series, home.keys), days, [total])
    _, proof = open_numbers(context, [source], [total], bytes(32))
    return SettlementAnswer(about, proof, part.digest, encoded).encode()


def settled_crowd(
    folder: Path, homes: Sequence[AnsweringHome], period: Period = WEEK
) -> tuple[Utility, list[Member], SettledHomes]:
    """Make a utility with these customers; the same keys and nonces each time."""
    dice = random.Random(7)
    utility = Utility.create(folder, randomness=dice.randbytes, now=lambda: NOW)
    members = []
    for number, home in enumerate(homes):
        utility.customers.enrol(replace(home.enrolment, applet=AID).encode())
        members.append(Member(home.meter, "AB"[number % 2], Address("127.0.0.1", 7816)))
    by_meter = {home.meter: home for home in homes}
    return (
        utility,
        members,
        SettledHomes(dice.randbytes, homes=by_meter, index=hourly_index(period)),
    )


def certified_crowd(count: int, period: Period = WEEK, minutes: int = 60) -> list[AnsweringHome]:
    """Make so many homes that have certified a period."""
    return [AnsweringHome.make(number, period, minutes) for number in range(count)]


def only(members: Sequence[Member], *numbers: int) -> frozenset[bytes]:
    """Return the meters of some members."""
    return frozenset(members[number].meter for number in numbers)
