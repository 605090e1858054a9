# SPDX-License-Identifier: Apache-2.0
"""Invoices from the outbox to hubs at addresses: each once, whoever dies or is not reached."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from tests.support import crowd as processes
from tests.support.answered_crowd import WEEK, AnsweredCrowd, answered_crowd
from tests.support.answered_home import TARIFF
from tests.support.delivering import deliver_until_killed
from tests.support.postgresql import as_files, new_schema
from tests.support.soak import IS_SOAKING
from tests.support.waiting import PATIENCE, wait_until
from utility_server.copying import move_database
from utility_server.errors import (
    ChannelBroken,
    HeadEndError,
    HubRefused,
    StoreUnreachable,
    UtilityError,
)
from utility_server.head_end import Address, HeadEnd
from utility_server.pipeline import deliverer as module
from utility_server.pipeline.deliverer import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LOOKED_INTO_SECONDS,
    REFUSED_SECONDS,
    Deliverer,
)
from utility_server.retail.deliveries import FRESH_SECONDS, LEASE_SECONDS, Deliveries
from utility_server.retail.entering import enter_answers
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

KILLS = 20 if IS_SOAKING else 2
INVOICES = 160 if IS_SOAKING else 16
HUB = "127.0.0.1:7816"


@dataclass
class Clock:
    now: int = 1_750_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Street:
    """The hubs of some homes, and what was handed to them."""

    trouble: dict[bytes, Exception] = field(default_factory=dict)
    """What a meter's hub does instead of taking an invoice."""
    taken: list[tuple[bytes, bytes]] = field(default_factory=list)
    asked: Counter[bytes] = field(default_factory=Counter)
    meanwhile: Callable[[bytes], object] = lambda _meter: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def head_end(self) -> HeadEnd:
        return _Hubs(bytes, street=self)

    def take(self, meter: bytes, document: bytes) -> None:
        with self._lock:
            self.asked[meter] += 1
        if meter in self.trouble:
            raise self.trouble[meter]
        self.meanwhile(meter)
        with self._lock:
            self.taken.append((meter, document))


@dataclass
class _Hubs(HeadEnd):
    street: Street = field(default_factory=Street)

    def ask(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        self.street.take(enrolment.meter, command.data)
        return b""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def utility(tmp_path: Path, clock: Clock) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility", now=clock) as utility:
        yield utility


@pytest.fixture
def street() -> Street:
    return Street()


def entered(utility: Utility, count: int, address: str = HUB, first: int = 0) -> AnsweredCrowd:
    """So many customers with an invoice each, whose hubs are at an address or dial out."""
    crowd = answered_crowd(utility, count, first=first)
    for question, _ in crowd.asked:
        utility.questions.asked_at(question, address)
    enter_answers(utility, crowd.nonces)
    later(utility, FRESH_SECONDS)
    return crowd


def later(utility: Utility, seconds: int) -> None:
    if isinstance(utility.now, Clock):
        utility.now.now += seconds


def states(utility: Utility, crowd: AnsweredCrowd) -> list[State]:
    return [utility.questions.find(question).state for question, _ in crowd.asked]


@dataclass
class Told:
    lines: list[tuple[str, Any]] = field(default_factory=list)

    def __call__(self, event: str, facts: Any) -> None:
        self.lines.append((event, dict(facts)))

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


def worked(deliverer: Deliverer) -> int:
    """Deliver all that is due; return to how many hubs."""
    deliverer._quiet_until = float("-inf")  # as if the next look were due
    hubs = 0
    while deliverer.step():
        hubs += 1
    return hubs


def test_what_is_entered_is_delivered_and_hubs_that_dial_out_are_left_alone(
    utility: Utility, street: Street
) -> None:
    crowd, dialling, told = entered(utility, 3), entered(utility, 2, "", first=3), Told()
    deliverer = Deliverer(utility, street.head_end, told=told)
    assert worked(deliverer) == 3
    documents = [utility.questions.invoice(question).document for question, _ in crowd.asked]
    assert [document for _, document in street.taken] == documents
    assert states(utility, crowd) == [State.DELIVERED] * 3
    assert states(utility, dialling) == [State.ENTERED] * 2
    assert told.events() == ["delivered"] * 3
    assert [facts["invoice"] for _, facts in told.lines] == [1, 2, 3]
    assert worked(deliverer) == 0
    assert deliverer.counts == {"delivered": 3}


def test_it_looks_less_often_where_nothing_was_found(utility: Utility, street: Street) -> None:
    ticks = iter(range(1_000))
    deliverer = Deliverer(utility, street.head_end, monotonic=lambda: next(ticks) * 0.5)
    with patch.object(Deliveries, "take", autospec=True, return_value=[]) as take:
        for _ in range(40):
            assert not deliverer.step()
    assert take.call_count <= 3, "a look of half a second leaves ten seconds alone"


def test_a_hub_that_is_not_reached_is_tried_after_pauses_that_double(
    utility: Utility, street: Street, clock: Clock
) -> None:
    crowd, told = entered(utility, 2), Told()
    away, question = crowd.homes[0].meter, crowd.asked[0][0]
    street.trouble[away] = HeadEndError("127.0.0.1:7816: No route\nto \x1b[31mhost" + "!" * 999)
    deliverer = Deliverer(utility, street.head_end, told=told)
    pauses = list[int]()
    assert worked(deliverer) == 2
    for _ in range(9):
        begun = clock.now
        while not worked(deliverer):
            clock.now += FIRST_PAUSE_SECONDS // 2
        pauses.append(clock.now - begun)
    assert street.asked[away] == 10
    assert FIRST_PAUSE_SECONDS <= pauses[0] <= 1.5 * FIRST_PAUSE_SECONDS
    assert all(b >= 1.2 * a for a, b in pairwise(pauses[:7]))
    assert LONGEST_PAUSE_SECONDS <= max(pauses) <= 1.3 * LONGEST_PAUSE_SECONDS
    assert told.events().count("not delivered") == 1, "what is as before is no news"
    failure = utility.failures.of(crowd.nonces)[question.about.nonce]
    assert failure.kind == "head-end-error"
    assert failure.why.isprintable()
    assert len(failure.why) <= 400
    del street.trouble[away]
    clock.now += 2 * LONGEST_PAUSE_SECONDS
    assert worked(deliverer) == 1
    assert states(utility, crowd) == [State.DELIVERED] * 2
    assert told.lines[-1][1]["after_failures"] == 10
    assert utility.failures.of(crowd.nonces) == {}


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (HubRefused(0x6985, "no consent"), REFUSED_SECONDS),
        (HubRefused(0x9300, "busy"), FIRST_PAUSE_SECONDS),
        (ChannelBroken("channel: another hub"), LOOKED_INTO_SECONDS),
    ],
)
def test_what_another_try_does_not_help_with_is_left_alone_for_long(
    utility: Utility, street: Street, clock: Clock, error: UtilityError, pause: int
) -> None:
    crowd = entered(utility, 1)
    street.trouble[crowd.homes[0].meter] = error
    deliverer = Deliverer(utility, street.head_end)
    assert worked(deliverer) == 1
    clock.now += pause - 1
    assert worked(deliverer) == 0
    clock.now += pause // 4 + 2
    assert worked(deliverer) == 1


def test_a_hub_whose_next_bill_is_entered_is_tried_at_once(
    utility: Utility, street: Street, clock: Clock
) -> None:
    crowd = entered(utility, 1)
    home = crowd.homes[0]
    street.trouble[home.meter] = HubRefused(0x6985, "no consent")
    deliverer = Deliverer(utility, street.head_end)
    assert worked(deliverer) == 1
    street.trouble.clear()
    clock.now += 10
    assert worked(deliverer) == 0
    # It has answered somebody: the same period is billed again.
    question = utility.question(home.meter, WEEK, utility.sign(TARIFF))
    utility.questions.asked_at(question, HUB)
    utility.verify(question, home.answer(question))
    assert worked(deliverer) == 0, "who has asked delivers it himself, if he lives"
    clock.now += FRESH_SECONDS
    assert worked(deliverer) == 1
    assert [meter for meter, _ in street.taken] == [home.meter] * 2, "both, in their order"


def test_several_deliver_each_invoice_once(
    tmp_path: Path, street: Street, database_kind: str
) -> None:
    folder = tmp_path / "utility"
    long_ago = Clock()
    with as_files(), Utility.create(folder, now=long_ago) as utility:
        crowd = entered(utility, 9)
    if database_kind == "postgresql":
        with as_files():
            move_database(folder, new_schema())
    stopping = threading.Event()
    with ExitStack() as opened, as_files():
        crew = [
            Deliverer(opened.enter_context(Utility.open(folder)), street.head_end, hubs_at_once=2)
            for _ in range(3)
        ]
        threads = [threading.Thread(target=one.run, args=(stopping,)) for one in crew]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(street.taken) >= 9, "all invoices")
        questions = crew[0].utility.questions
        wait_until(lambda: not questions.waiting(), "all are noted")
        stopping.set()
        for thread in threads:
            thread.join()
        assert set(states(crew[0].utility, crowd)) == {State.DELIVERED}
    assert Counter(meter for meter, _ in street.taken) == dict.fromkeys(
        (home.meter for home in crowd.homes), 1
    )
    assert sum(one.counts["delivered"] for one in crew) == 9


@pytest.mark.process
@pytest.mark.more_in_soak
def test_killed_at_random_deliverers_lose_no_invoice(tmp_path: Path, database_kind: str) -> None:
    """Two at a time, killed with -9: each invoice is delivered, and noted; few come twice."""
    folder, taken, dice = tmp_path / "utility", tmp_path / "taken", random.Random(7)
    with as_files(), Utility.create(folder, now=Clock()) as utility:
        crowd = entered(utility, INVOICES)
    if database_kind == "postgresql":
        with as_files():
            move_database(folder, new_schema())
    work = partial(processes.started, deliver_until_killed, folder, taken)
    running, kills = [work(), work()], 0
    try:
        with as_files(), Utility.open(folder) as utility:
            while not _all_delivered(utility, crowd):
                time.sleep(0.1 + dice.random() / 2)
                if kills < KILLS and taken.exists():
                    victim = running.pop(dice.randrange(2))
                    victim.kill()
                    victim.join()
                    kills += 1
                    running.append(work())
    finally:
        for one in running:
            one.kill()
            one.join()
    times = Counter(taken.read_text().split())
    assert set(times) == {home.meter.hex() for home in crowd.homes}
    # Killed between the hub's taking it and the note of it: two hubs at a time, each once more.
    assert times.total() <= INVOICES + 2 * kills
    assert kills > 0


def test_what_a_dead_deliverer_held_is_anothers_when_its_lease_is_over(
    utility: Utility, street: Street, clock: Clock
) -> None:
    crowd = entered(utility, 2)
    dead = Deliveries(utility.engine, utility.now)
    assert len(dead.take("one that was killed", 8)) == 2
    deliverer = Deliverer(utility, street.head_end)
    assert worked(deliverer) == 0
    clock.now += LEASE_SECONDS
    assert worked(deliverer) == 2
    assert states(utility, crowd) == [State.DELIVERED] * 2
    dead.done("one that was killed", crowd.homes[0].meter)  # late, and of no effect


def test_one_that_has_lost_a_hub_to_another_goes_on_with_none_of_its_invoices(
    utility: Utility, street: Street, clock: Clock
) -> None:
    crowd = entered(utility, 1)
    other = Deliveries(utility.engine, utility.now)
    slow = Deliverer(utility, street.head_end)
    meter = slow._next()
    assert meter == crowd.homes[0].meter
    clock.now += LEASE_SECONDS  # it was stopped that long
    assert other.take("another", 8) == [meter]
    slow._deliver_all(meter)
    assert street.taken == []
    assert other.hold_on("another", [meter]) == {meter}


def test_what_was_delivered_meanwhile_is_left_alone(utility: Utility, street: Street) -> None:
    crowd = entered(utility, 1)
    question = crowd.asked[0][0]
    for _ in range(2):
        utility.deliver_invoice(question, street.head_end(), Address.parse(HUB))
    assert len(street.taken) == 1


def test_while_the_database_is_not_reached_everything_waits(
    utility: Utility, street: Street
) -> None:
    crowd, told, stopping = entered(utility, 2), Told(), threading.Event()
    real, failures = Deliveries.take, iter([StoreUnreachable("not reached")] * 2)

    def take(self: Deliveries, holder: str, limit: int) -> list[bytes]:
        if (failure := next(failures, None)) is not None:
            raise failure
        return real(self, holder, limit)

    deliverer = Deliverer(utility, street.head_end, hubs_at_once=1, told=told)
    with patch.object(Deliveries, "take", take), patch.object(module, "_OUTAGE_SECONDS", 0.01):
        thread = threading.Thread(target=deliverer.run, args=(stopping,))
        thread.start()
        wait_until(partial(_all_delivered, utility, crowd), "the invoices")
        stopping.set()
        thread.join()
    assert told.events() == ["waits", "waits", "delivered", "delivered"]


def _all_delivered(utility: Utility, crowd: AnsweredCrowd) -> bool:
    return set(states(utility, crowd)) == {State.DELIVERED}


def test_an_error_of_ours_holds_up_no_other_hub(
    utility: Utility, street: Street, clock: Clock
) -> None:
    crowd, told = entered(utility, 3), Told()
    street.trouble[crowd.homes[1].meter] = ZeroDivisionError("ours")
    deliverer = Deliverer(utility, street.head_end, told=told)
    with pytest.raises(ZeroDivisionError):
        worked(deliverer)
    assert worked(deliverer) == 1
    assert states(utility, crowd) == [State.DELIVERED, State.ENTERED, State.DELIVERED]
    clock.now += 10 * LEASE_SECONDS
    assert worked(deliverer) == 0, "it is not tried over and over"


def test_it_stops_though_a_hub_hangs_and_lets_go_of_what_it_holds(
    utility: Utility, street: Street
) -> None:
    crowd = entered(utility, 4)
    hanging, free, stopping = threading.Event(), threading.Event(), threading.Event()

    def hang(_meter: bytes) -> None:
        hanging.set()
        free.wait()

    street.meanwhile = hang
    deliverer = Deliverer(utility, street.head_end, hubs_at_once=2)
    with patch.object(module, "STOP_SECONDS", 0.1):
        thread = threading.Thread(target=deliverer.run, args=(stopping,))
        thread.start()
        assert hanging.wait(PATIENCE)
        stopping.set()
        thread.join()
    try:
        other = Deliveries(utility.engine, utility.now)
        assert sorted(other.take("another", 8)) == sorted(home.meter for home in crowd.homes)
    finally:
        free.set()
        for one in threading.enumerate():
            if one.name == module.THREAD:
                one.join()
