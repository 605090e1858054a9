# SPDX-License-Identifier: Apache-2.0
"""A month of 2,976 quarter-hours: committed to, proved and verified, next to the naive way.

    pytest benchmarks/bench_proofs.py --benchmark-only      each with its distribution
    python benchmarks/bench_proofs.py                       a table of ratios, one core

Slots: the naive way (`loop`) does the same work with the library's own point functions, which take
and give octets: one call for each product, one for each sum. `one call` is the library's own sum
of products, which saves the octets in between.

Statements: `products` runs the same protocol, but multiplies every point by itself instead of in
buckets; a range of 64 bits is compared with a proof for each bit. Proofs of many households are
those of ten different ones, again and again: the verifier does not notice.
"""

import random
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from btclib_secp256k1 import keys as library

from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.amounts import QuotientRule
from protocols.metrology import CertifiedDay, Period, Series, verify_days
from protocols.proofs import (
    ORDER,
    Check,
    PointVector,
    Prover,
    Quantity,
    Session,
    SlotOpening,
    Source,
    Transcript,
    VectorCommitment,
    VectorOpening,
    VectorPart,
    Verifier,
    commit,
    commit_many,
    commit_vector,
    derive_blindings,
    find_refused,
    largest,
    rounded,
    tiers,
)
from protocols.proofs.bits import receive_bits, send_bits
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.group import encode_scalar
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import H

SLOTS = 31 * 96
SECRET = bytes(range(32))
DICE = random.Random(1)
USES = [DICE.randrange(2000) for _ in range(SLOTS)]
BANDS = [[28, 31, 45][slot % 96 // 32] * 10_000 for slot in range(SLOTS)]
"""Weights of a tariff with three bands."""
DYNAMIC = [DICE.randrange(-50_000, 500_000) for _ in range(SLOTS)]
"""Weights of a tariff with a price for each slot, some negative."""


@cache
def month(size: int) -> bytes:
    return commit_many(USES, derive_blindings(SECRET, b"month", SLOTS)).encode(size)


@cache
def opening(dynamic: bool = False) -> tuple[int, int]:
    weights = DYNAMIC if dynamic else BANDS
    blindings = derive_blindings(SECRET, b"month", SLOTS)
    value = sum(w * x for w, x in zip(weights, USES, strict=True))
    return value, sum(w * r for w, r in zip(weights, blindings, strict=True)) % ORDER


def commit_month() -> bytes:
    return commit_many(USES, derive_blindings(SECRET, b"month", SLOTS)).encode()


def commit_month_naively() -> bytes:
    h, points = H.encode(), []
    for use, blinding in zip(USES, derive_blindings(SECRET, b"month", SLOTS), strict=True):
        blind = library.pubkey_from_prvkey(encode_scalar(blinding))
        if use:
            blind = library.pubkey_combine([blind, library.pubkey_tweak_mul(h, encode_scalar(use))])
        points.append(blind)
    return b"".join(points)


def verify_month(size: int, dynamic: bool = False) -> None:
    weights = DYNAMIC if dynamic else BANDS
    total = PointVector.decode(month(size), size).weighted_sum(weights)
    assert total == commit(*opening(dynamic))


def verify_month_naively(size: int, dynamic: bool = False) -> None:
    data, total = month(size), None
    for slot, weight in enumerate(DYNAMIC if dynamic else BANDS):
        point = data[slot * size : (slot + 1) * size]
        term = library.pubkey_tweak_mul(point, encode_scalar(weight))
        total = term if total is None else library.pubkey_combine([total, term])
    assert total == naive_commitment(*opening(dynamic))


def verify_month_in_one_call(size: int, dynamic: bool = False) -> None:
    data = month(size)
    points = [data[start : start + size] for start in range(0, len(data), size)]
    weights = [weight % ORDER for weight in (DYNAMIC if dynamic else BANDS)]
    assert library.pubkey_tweak_mul_sum(points, weights) == naive_commitment(*opening(dynamic))


def naive_commitment(value: int, blinding: int) -> bytes:
    valued = library.pubkey_tweak_mul(H.encode(), encode_scalar(value))
    return library.pubkey_combine([valued, library.pubkey_from_prvkey(blinding)])


# --- Statements ---------------------------------------------------------------------------------

PARTS = tuple(VectorPart.of_day(day, 96) for day in range(1, 32))
OFF_PEAK = tuple(int(slot % 96 < 32) for slot in range(SLOTS))
PEAK = tuple(1 - flag for flag in OFF_PEAK)
PRICES = tuple(BANDS)


@cache
def vector_days(seed: int) -> tuple[bytes, VectorOpening]:
    """Return the 31 points of a household's month, and its opening."""
    dice = random.Random(seed)
    uses = [[dice.randrange(2000) for _ in range(96)] for _ in PARTS]
    blindings = derive_blindings(SECRET, b"%d" % seed, 31)
    points = map(commit_vector, PARTS, uses, blindings)
    flat = tuple(use for day in uses for use in day)
    return PointVector(points).encode(), VectorOpening(flat, tuple(blindings))


def vector_source(seed: int, *, known: bool) -> Source:
    points, opening = vector_days(seed)
    held = VectorCommitment(PARTS, PointVector.decode(points))
    return Source(held, b"%d" % seed, opening if known else None)


@cache
def slot_source(*, known: bool) -> Source:
    blindings = derive_blindings(SECRET, b"month", SLOTS)
    opening = SlotOpening(tuple(USES), tuple(blindings)) if known else None
    return Source(PointVector.decode(month(65), 65), b"month", opening)


def fee(session: Session, source: Source) -> int:
    return session.open("fee", session.forms("use", source, [PRICES])[0])


def tiered(session: Session, source: Source) -> int:
    total = Quantity.constant(0)
    bands = session.forms("bands", source, (OFF_PEAK, PEAK))
    for band, prices in zip(bands, ((20, 24, 31), (28, 33, 41)), strict=True):
        parts = tiers(session, "tiers", band, (300_000, 600_000), 24)
        for price, part in zip(prices, parts, strict=True):
            total += part * price
    return session.open(
        "total", rounded(session, "VAT", total * 119, 10**5, QuotientRule.HALF_UP, 32)
    )


def peak(session: Session, source: Source) -> int:
    slots = session.windows("slots", source, [range(slot, slot + 1) for slot in range(SLOTS)])
    return session.open("peak", largest(session, "peak", slots, 11))


def ranged(session: Session, _: Source) -> int:
    return session.commit("value", lambda: 2**63 + 5, 64).limit


Statement = Callable[[Session, Source], int]


def prove(statement: Statement, source: Source) -> bytes:
    prover = Prover(Transcript("benchmark", 1), bytes(32))
    statement(prover, source)
    return prover.finish()


def check(statement: Statement, source: Source, proof: bytes) -> Check:
    verifier = Verifier(Transcript("benchmark", 1), proof)
    statement(verifier, source)
    return verifier.finish("benchmark")


def accept(*checks: Check) -> None:
    assert not find_refused(checks)


@cache
def fee_proof(seed: int) -> bytes:
    return prove(fee, vector_source(seed, known=True))


def verify_households(count: int) -> None:
    """Verify proofs in batches of a hundred, their 31 points decoded from 33 bytes each."""
    for start in range(0, count, 100):
        seeds = [number % 10 for number in range(start, min(count, start + 100))]
        accept(*[check(fee, vector_source(s, known=False), fee_proof(s)) for s in seeds])


@cache
def proof_of(statement: Statement, *, vector: bool) -> bytes:
    source = vector_source(1, known=True) if vector else slot_source(known=True)
    return prove(statement, source)


def verify_statement(statement: Statement, *, vector: bool) -> None:
    source = vector_source(1, known=False) if vector else slot_source(known=False)
    accept(check(statement, source, proof_of(statement, vector=vector)))


SWITCH = (commit(2**63 + 5, 7), (2**63 + 5, 7))


@cache
def prove_bits() -> bytes:
    channel = Outgoing(Transcript("bits", 1))
    send_bits(channel, *SWITCH, 64, Nonces(bytes(32)))
    return channel.data()


def verify_bits() -> None:
    accept(*receive_bits(Incoming(Transcript("bits", 1), prove_bits()), "bits", SWITCH[0], 64))


def by_products(way: "Way") -> "Way":
    def run() -> None:
        with patch("protocols.proofs.group.best_width", lambda count, bits: 0):
            way()

    return run


Way = Callable[[], object]

SLOT_WORK: dict[str, tuple[str, Way, Way, Way | None]] = {
    "commit to a month": ("60 ms", commit_month, commit_month_naively, None),
    "verify, 3 prices, 65-byte points": (
        "2 ms, later 1.3",
        lambda: verify_month(65),
        lambda: verify_month_naively(65),
        lambda: verify_month_in_one_call(65),
    ),
    "verify, 3 prices, 33-byte points": (
        "15 ms",
        lambda: verify_month(33),
        lambda: verify_month_naively(33),
        lambda: verify_month_in_one_call(33),
    ),
    "verify, 2976 prices, 65-byte points": (
        "-",
        lambda: verify_month(65, dynamic=True),
        lambda: verify_month_naively(65, dynamic=True),
        lambda: verify_month_in_one_call(65, dynamic=True),
    ),
}

STATEMENT_WORK: dict[str, tuple[str, Way, Way, str, int]] = {
    "vector: commit to a month": (
        "-", lambda: vector_days.__wrapped__(1), commit_month, "slots", 1),
    "vector: prove a fee": (
        "500 ms", lambda: prove(fee, vector_source(1, known=True)),
        by_products(lambda: prove(fee, vector_source(1, known=True))), "products", 1),
    "vector: verify a fee alone": (
        "120 ms", lambda: verify_households(1),
        by_products(lambda: verify_households(1)), "products", 1),
    "vector: verify a fee, 100 at once": (
        "4 ms", lambda: verify_households(100),
        by_products(lambda: verify_households(100)), "products", 100),
    "range of 64 bits: prove": (
        "40 ms", lambda: prove(ranged, slot_source(known=True)),
        lambda: prove_bits.__wrapped__(), "bit by bit", 1),
    "range of 64 bits: verify": (
        "8 ms", lambda: verify_statement(ranged, vector=False), verify_bits, "bit by bit", 1),
    "tiered month, slots: prove": (
        "3 s", lambda: prove(tiered, slot_source(known=True)),
        by_products(lambda: prove(tiered, slot_source(known=True))), "products", 1),
    "tiered month, slots: verify": (
        "-", lambda: verify_statement(tiered, vector=False),
        by_products(lambda: verify_statement(tiered, vector=False)), "products", 1),
    "tiered month, vector: prove": (
        "3 s", lambda: prove(tiered, vector_source(1, known=True)),
        by_products(lambda: prove(tiered, vector_source(1, known=True))), "products", 1),
    "tiered month, vector: verify": (
        "-", lambda: verify_statement(tiered, vector=True),
        by_products(lambda: verify_statement(tiered, vector=True)), "products", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", [*SLOT_WORK, *STATEMENT_WORK])
def test_ours(benchmark: Any, name: str) -> None:
    ours = SLOT_WORK[name][1] if name in SLOT_WORK else STATEMENT_WORK[name][1]
    ours()  # fills the tables, once a process
    benchmark(ours)


@pytest.mark.parametrize("name", [*SLOT_WORK, *STATEMENT_WORK])
def test_naively(benchmark: Any, name: str) -> None:
    naively = SLOT_WORK[name][2] if name in SLOT_WORK else STATEMENT_WORK[name][2]
    benchmark.pedantic(naively, rounds=2)


def best(way: Way, rounds: int) -> float:
    """Return the milliseconds of processor time of the best of some runs."""
    way()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        way()
        times.append(time.process_time() - start)
    return min(times) * 1000


def print_slots() -> None:
    print(f"{'2,976 slots, one core, CPU time':38}{'ours':>10}{'loop':>18}{'one call':>18}   goal")
    for name, (goal, ours, loop, one_call) in SLOT_WORK.items():
        fast = best(ours, 20)
        line = f"{name:38}{fast:7.2f} ms"
        for other in (loop, one_call):
            slow = best(other, 2) if other else 0
            line += f"{slow:7.1f} ms{slow / fast:6.1f} x" if other else " " * 18
        print(f"{line}   {goal}")


def print_statements() -> None:
    print(f"\n{'each, one core, CPU time':38}{'ours':>10}{'the other way':>32}   goal")
    for name, (goal, ours, naively, kind, count) in STATEMENT_WORK.items():
        fast, slow = best(ours, 3) / count, best(naively, 1) / count
        line = f"{name:38}{fast:7.2f} ms{slow:9.1f} ms{slow / fast:6.1f} x"
        print(f"{line} {kind:>12}   {goal}")


def print_sizes() -> None:
    month_size = len(vector_days(1)[0]) + len(fee_proof(1))
    print(f"\nbytes: commitments and proof of a fee, vector {month_size} (goal 2500),"
          f" slots {len(month(33)) + len(proof_of(fee, vector=False))};")  # fmt: skip
    print(f"       range of 64 bits {len(proof_of(ranged, vector=False)) - 33} (goal 700),"
          f" bit by bit {len(prove_bits())};")  # fmt: skip
    print(f"       tiered month, slots {len(proof_of(tiered, vector=False))},"
          f" vector {len(proof_of(tiered, vector=True))}")  # fmt: skip


def print_peak() -> None:
    seconds = best(lambda: prove(peak, slot_source(known=True)), 1) / 1000
    verify = best(lambda: verify_statement(peak, vector=False), 1) / 1000
    size = len(proof_of(peak, vector=False))
    print(f"\nthe largest of a month's slots and nothing else: prove {seconds:.1f} s,"
          f" verify {verify:.1f} s, {size} bytes")  # fmt: skip


def certified_month() -> tuple[list[bytes], Period, Certifier]:
    """Return a month of days without their slots, encoded, and who certified them."""
    series = Series(b"meter 1", bytes.fromhex("0100010800ff"), "UTC", 15)
    keys = CertifierKeys(SECRET, bytes(reversed(SECRET)))
    certifier = Certifier(series, keys)
    period, done = Period.month(2025, 3), list[Certification]()
    begin, end = period.bounds("UTC")
    readings = [Reading(t, 300 * n) for n, t in enumerate(range(begin, end + 1, 900))]
    for place, day in enumerate(period.days("UTC")):
        part = readings[96 * place : 96 * place + 97]
        done.append(certifier.certify(day, part, done[-1] if done else None))
    return [certification.day.encode() for certification in done], period, certifier


def print_million() -> None:
    days, period, certifier = certified_month()
    signed = best(
        lambda: verify_days(
            [CertifiedDay.decode(day) for day in days],
            period,
            certifier.series,
            certifier.keys.public_key,
        ),
        10,
    )
    start = time.process_time()
    verify_households(1000)
    proofs = (time.process_time() - start) * 1000 / 3600
    print(f"\none million households' months, a point a day: {proofs:.2f} core-hours for the"
          f" proofs, from 1,000 measured,\nand {signed * 1000 / 3600:.2f} for signatures and"
          f" chains of the days, {signed:.1f} ms a household")  # fmt: skip


def main() -> None:
    print_slots()
    print_statements()
    print_sizes()
    print_peak()
    print_million()


if __name__ == "__main__":
    main()
