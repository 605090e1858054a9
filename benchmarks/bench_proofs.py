# SPDX-License-Identifier: Apache-2.0
"""A month of 2,976 quarter-hours: committed to and verified, next to the naive way.

    pytest benchmarks/bench_proofs.py --benchmark-only      each with its distribution
    python benchmarks/bench_proofs.py                       a table of ratios, one core

The naive way (`loop`) does the same work with the library's own point functions, which take and
give octets: one call for each product, one for each sum. `one call` is the library's own sum of
products, which saves the octets in between.
"""

import random
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from btclib_secp256k1 import keys as library

from protocols.proofs import ORDER, PointVector, commit, commit_many, derive_blindings
from protocols.proofs.group import encode_scalar
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


Way = Callable[[], object]

WORK: dict[str, tuple[str, Way, Way, Way | None]] = {
    "commit to a month": ("60 ms", commit_month, commit_month_naively, None),
    "verify, 3 prices, 65-byte points": (
        "2 ms",
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


@pytest.mark.parametrize("name", WORK)
def test_ours(benchmark: Any, name: str) -> None:
    ours = WORK[name][1]
    ours()  # fills the tables, once a process
    benchmark(ours)


@pytest.mark.parametrize("name", WORK)
def test_naively(benchmark: Any, name: str) -> None:
    benchmark.pedantic(WORK[name][2], rounds=3)


def best(way: Way, rounds: int) -> float:
    way()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main() -> None:
    print(f"{'2,976 slots, one core, best run':38}{'ours':>10}{'loop':>18}{'one call':>18}   goal")
    for name, (goal, ours, loop, one_call) in WORK.items():
        fast = best(ours, 20)
        line = f"{name:38}{fast:7.2f} ms"
        for other in (loop, one_call):
            slow = best(other, 2) if other else 0
            line += f"{slow:7.1f} ms{slow / fast:6.1f} x" if other else " " * 18
        print(f"{line}   {goal}")


if __name__ == "__main__":
    main()
