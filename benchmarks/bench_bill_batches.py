# SPDX-License-Identifier: Apache-2.0
"""Bills verified one by one, many at once, and with wrong ones among them.

    pytest benchmarks/bench_bill_batches.py --benchmark-only    each with its distribution
    python benchmarks/bench_bill_batches.py                     in units of u, one core

The yardstick u is what a month's 2,972 compressed points take to decode in the same run, which
other machines have in common with this one. Each bill is one of the German example tariff over a
month of quarter-hours: what a supplier is sent, verified whole as the utility does it, with form,
tariff, days, signatures and chain. `slots` are the same readings as release 0.1 certified and
billed them, with a commitment to each slot. Batches are of ten homes, again and again: the verifier
does not notice.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from applets.billing.messages import BillQuestion
from applets.billing.version1 import BillAnswerVersion1, Proved
from hub.certifier import Certifier
from hub.readings import Reading
from protocols.metrology import CertifiedPeriod, Period
from protocols.proofs import (
    PointVector,
    SlotOpening,
    StatementContext,
    commit_many,
    derive_blindings,
)
from tariffs.source import load_toml
from tests.support.drawn_bills import DrawnHome, drawn_homes
from tests.support.version1 import certify_version_1, open_linear
from utility_server.errors import VerificationFailed
from utility_server.retail.batches import check_answers
from utility_server.retail.claims import BILL, VerifiedAnswer
from utility_server.retail.verification import BillBundle

TARIFF = load_toml(Path("examples/tariffs/de-modul3-2025.toml").read_text())
ENERGY_ALONE = load_toml("""
format = 1
name = "flat"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "energy"
kind = "energy"
[[charge.band]]
name = "day"
price = "0.3112"
when = { times = "06:00-22:00" }
[[charge.band]]
name = "night"
price = "0.2489"
""")
MONTH = Period.month(2025, 3)
ZONE = "Europe/Berlin"
HOMES, BATCHES = 10, (4, 10, 32, 100)
UTILITY: Any = SimpleNamespace(revocations=())
Asked = tuple[BillQuestion, BillBundle]


@cache
def homes() -> tuple[DrawnHome, ...]:
    return tuple(drawn_homes(range(HOMES), MONTH, ZONE, 15))


@cache
def answers() -> tuple[Asked, ...]:
    return tuple(home.asked(TARIFF) for home in homes())


def many(count: int) -> list[Asked]:
    return [answers()[number % HOMES] for number in range(count)]


def bent(asked: Sequence[Asked], place: int) -> list[Asked]:
    """Return the answers with a proof at this place of which the last scalar is another."""
    home, (question, _) = homes()[place % HOMES], asked[place]
    answer = home.answer(TARIFF)
    proof = bytearray(answer.proof)
    proof[-1] ^= 1
    wrong = home.bundle(question, replace(answer, proof=bytes(proof)))
    return [*asked[:place], (question, wrong), *asked[place + 1 :]]


def by_slots() -> BillBundle:
    """Return a bill as release 0.1 answered it, of the first home."""
    home, register, readings = homes()[0], 0, list[Reading]()
    (begin, end), uses = home.bounds, iter(home.uses)
    for moment in range(begin, end + 1, 900):
        readings.append(Reading(moment, register))
        register += next(uses, 0)
    certifier = Certifier(home.series, home.keys)
    done = certify_version_1(certifier, MONTH, readings)
    blindings = list[int]()
    for one in done:
        said = hashlib.sha256(one.use.encode()).digest()
        *own, _ = certifier._derive(one.day.day, b"slots", said, len(one.use.uses) + 1)
        blindings += own
    opening = SlotOpening(tuple(home.uses), tuple(blindings))
    source = CertifiedPeriod(tuple(one.day for one in done)).source(opening, needs_slots=True)
    question = home.question(ENERGY_ALONE)
    context = StatementContext(
        home.series.meter, home.series.register, begin, end, 15, ENERGY_ALONE.digest, "supplier",
        "billing", question.about.nonce,
    )  # fmt: skip
    proof = open_linear(context, source, ENERGY_ALONE.prices(home.starts, 900))
    answer = BillAnswerVersion1(
        home.series.meter, begin, end, question.about.nonce,
        Decimal(home.reckoned(ENERGY_ALONE)), ENERGY_ALONE.digest,
        Proved(proof, tuple(one.day.encode() for one in done)),
    )  # fmt: skip
    return replace(home.bundle(question, home.answer(ENERGY_ALONE)), answer=answer.encode())


def test_alone(benchmark: Any) -> None:
    benchmark.pedantic(BILL.verify, (answers()[0][1],), rounds=5)


@pytest.mark.parametrize("count", BATCHES)
def test_at_once(benchmark: Any, count: int) -> None:
    outcomes = benchmark.pedantic(check_answers, (UTILITY, BILL, many(count)), rounds=2)
    assert all(isinstance(one, VerifiedAnswer) for one in outcomes)


def test_one_wrong_of_32(benchmark: Any) -> None:
    outcomes = benchmark.pedantic(check_answers, (UTILITY, BILL, bent(many(32), 9)), rounds=2)
    assert [isinstance(one, VerificationFailed) for one in outcomes].count(True) == 1


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def yardstick() -> float:
    points = commit_many([7] * 2972, derive_blindings(bytes(32), b"yardstick", 2972)).encode()
    return seconds(lambda: PointVector.decode(points), 20)


def main() -> None:
    u = yardstick()
    print(f"u, 2,972 points decoded: {1000 * u:.1f} ms")
    home, (_, bundle) = homes()[0], answers()[0]
    print(f"a bill's answer: {len(bundle.answer):,} bytes; its bundle: {len(bundle.encode()):,}")
    proving = seconds(partial(home.answer, TARIFF), 2)
    print(f"certified days read and the bill proved by the hub: {proving / u:.1f} u")
    print(f"\n{'bills at once':32}{'each':>10}")
    stored = by_slots()
    slots = seconds(partial(BILL.verify, stored, is_stored=True), 5)
    print(f"{'slots, of release 0.1, alone':32}{slots / u:8.2f} u{len(stored.answer):12,} bytes")
    print(f"{'alone':32}{seconds(partial(BILL.verify, bundle), 5) / u:8.2f} u")
    times = {}
    for count in BATCHES:
        took = times[count] = seconds(partial(check_answers, UTILITY, BILL, many(count)), 3)
        print(f"{count:<32}{took / count / u:8.2f} u")
    left = seconds(partial(BILL.examine, bundle), 10)
    print(f"{'all but the equation':32}{left / u:8.2f} u")
    for wrong in ((9,), (3, 9, 17, 30)):
        asked = many(32)
        for place in wrong:
            asked = bent(asked, place)
        took = seconds(partial(check_answers, UTILITY, BILL, asked), 3)
        refused = [
            place
            for place, outcome in enumerate(check_answers(UTILITY, BILL, asked))
            if isinstance(outcome, VerificationFailed)
        ]
        assert refused == [*wrong], refused
        print(f"{f'32 with {len(wrong)} wrong, against right':32}{took / times[32]:8.2f} times")


if __name__ == "__main__":
    main()
