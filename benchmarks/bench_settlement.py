# SPDX-License-Identifier: Apache-2.0
"""Three ways to settle 60 London homes at real half-hourly prices, beside each other in one run.

    per customer   each home proves its own number (`applets.settlement`)
    load curve     a sum of each half hour over all of them is opened, and priced in the open
    one number     each home weighs its use with the prices; one number over all of them is opened

Times are processor time on one core, of which the best of some tries; bytes are those of the
messages themselves. `python -m benchmarks.bench_settlement` prints it all, and fails unless all
three come to the same number.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pytest_benchmark.fixture import BenchmarkFixture

from protocols.aggregation.collector import Collector
from protocols.aggregation.decryption import RegionSum, decrypt_sum
from protocols.aggregation.round import Round, RoundTerms
from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.signing import sign_index
from tests.support.aggregation import COLLECTOR, Home, announce, encryptor, private_key, terms
from tests.support.homes import ZONE, rows_of
from tests.support.homes import homes as certified_homes
from tests.support.settlement import agile, answered, checked, question_for
from utility_server.retail.group_settlement import weighting_of

JANUARY = Period.month(2013, 1)
SLOT = 1800
MEASURED = 3
"""Homes of which each step is timed."""


@dataclass
class Cost:
    """What a way of settling costs a home, and who settles."""

    name: str
    to_home: int = 0
    from_home: int = 0
    home_ms: float = 0
    settling_ms: float = 0
    """For each home."""
    numbers: int = 1
    """How many numbers are told, of each home or of all together."""
    value: int = 0


def spent(work: Callable[[], object], tries: int = 3) -> float:
    """Return the best processor time in milliseconds."""
    times = []
    for _ in range(tries):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def london() -> list[Home]:
    begin, end = JANUARY.bounds(ZONE)
    return [
        Home(number, [rows.get(start, 0) for start in range(begin, end, SLOT)])
        for number, rows in enumerate(rows_of(JANUARY).values())
    ]


def per_customer(index: PriceIndex) -> Cost:
    cost = Cost("per customer")
    part = index.between(*JANUARY.bounds(ZONE))
    document = sign_index(part, Ed25519PrivateKey.from_private_bytes(bytes(32)), b"key")
    with tempfile.TemporaryDirectory() as folder:
        homes = list(islice(certified_homes(JANUARY, Path(folder)), MEASURED))
    answers = [answered(home, part) for home in homes]
    cost.to_home = len(question_for(homes[0], document).encode())
    cost.from_home = len(answers[0].encode())
    cost.home_ms = spent(lambda: [answered(home, part) for home in homes]) / MEASURED
    pairs = list(zip(homes, answers, strict=True))
    cost.settling_ms = spent(lambda: [checked(*pair, part) for pair in pairs]) / MEASURED
    prices = index.prices
    cost.value = sum(
        (prices.prices[(start - prices.begin) // SLOT] or 0) * wh
        for rows in rows_of(JANUARY).values()
        for start, wh in rows.items()
    )
    assert [checked(*pair, part).value for pair in pairs] == [
        sum((prices.prices[(s - prices.begin) // SLOT] or 0) * wh for s, wh in home.rows.items())
        for home in homes
    ]
    return cost


def collected(announced: Round, homes: list[Home]) -> Collector:
    collector = Collector(announced, COLLECTOR)
    crypt = encryptor(announced.terms.key.bits, announced.terms.exponent_bits)
    for home in homes:
        collector.contribute(home.contribute(announced, crypt))
    contributors = collector.close()
    for home in homes:
        collector.agree(home.household.agree(contributors, home.contribution).encode())
    for home in homes:
        opening = home.household.open(contributors, collector.agreements, home.blinding)
        collector.open(opening.encode())
    return collector


def by_rounds(name: str, about: RoundTerms, worth: Callable[[RegionSum], int]) -> Cost:
    homes = london()
    announced, cost = announce(homes, about), Cost(name)
    crypt = encryptor(about.key.bits, about.exponent_bits)
    collector = collected(announced, homes)
    contributors, batch = collector.close(), collector.batch()
    signatures = collector.agreements
    home, contribution = homes[0], collector.evidence()[0].encode()

    def agree_and_open() -> list[bytes]:
        agreement = home.household.agree(contributors, home.contribution)
        opening = home.household.open(contributors, signatures, home.blinding)
        return [agreement.encode(), opening.encode()]

    listed = len(contributors.encode())
    cost.to_home = len(announced.encode()) + 2 * listed + 64 * len(signatures)
    cost.from_home = len(contribution) + sum(map(len, agree_and_open()))
    cost.from_home += len(home.member().keys.encode())
    cost.home_ms = spent(lambda: home.contribute(announced, crypt)) + spent(agree_and_open)
    private = private_key(about.key.bits)
    cost.settling_ms = spent(lambda: decrypt_sum(announced, batch, private)) / len(homes)
    opened = decrypt_sum(announced, batch, private)
    cost.numbers, cost.value = len(opened.values), worth(opened)
    return cost


def costs() -> list[Cost]:
    index = agile()
    weighting = weighting_of(index, JANUARY, ZONE, 30)
    curve = terms(2048, 30, JANUARY, zone=ZONE, exponent_bits=1024)
    weighed = terms(2048, 30, JANUARY, zone=ZONE, exponent_bits=1024, weighting=weighting)

    def priced(opened: RegionSum) -> int:
        return sum(p * wh for p, wh in zip(weighting.prices, opened.values, strict=True))

    return [
        per_customer(index),
        by_rounds("load curve", curve, priced),
        by_rounds("one number", weighed, lambda opened: opened.values[0]),
    ]


def bench_contribute_one_number(benchmark: BenchmarkFixture) -> None:
    weighting = weighting_of(agile(), JANUARY, ZONE, 30)
    homes = london()
    announced = announce(homes, terms(2048, 30, JANUARY, zone=ZONE, weighting=weighting))
    benchmark(homes[0].contribute, announced, encryptor(2048, 256))


def main() -> None:
    found = costs()
    print("60 homes, a month of 1,488 half hours, 2048 bits, long exponent; a home")
    print(f"{'':14}{'bytes to it':>13}{'from it':>10}{'its time':>11}{'settling':>11}  told")
    for one in found:
        whose = "its own" if one.name == "per customer" else "of all together"
        print(f"{one.name:14}{one.to_home:13,}{one.from_home:10,}{one.home_ms:8.1f} ms"
              f"{one.settling_ms:8.2f} ms  {one.numbers:,} {whose}")  # fmt: skip
    assert len({one.value for one in found}) == 1
    print(f"each way comes to {found[0].value / 10**9:.9f} GBP")


if __name__ == "__main__":
    main()
