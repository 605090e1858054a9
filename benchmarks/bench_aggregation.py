# SPDX-License-Identifier: Apache-2.0
"""Private sums beside phe (python-paillier) with gmpy2, in the same run, on one core.

phe encrypts a reading a ciphertext; ours are packed, masked and signed. Times are CPU time, the
best of several tries, for each reading. `python -m benchmarks.bench_aggregation` prints it all.
"""

import os
import time
from collections.abc import Callable
from datetime import date
from functools import cache, partial

import phe
from phe import util as phe_util
from pytest_benchmark.fixture import BenchmarkFixture

from protocols.aggregation.collector import Collector
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.load_ranges import prove_ranges, ranges_check
from protocols.aggregation.packing import Layout
from protocols.aggregation.paillier import SHORT_EXPONENT, Encryptor, PaillierPrivateKey
from protocols.aggregation.round import Round
from protocols.aggregation.split_key import split_key
from protocols.metrology import Period
from protocols.proofs import verify_all
from tests.support.aggregation import COLLECTOR, Home, announce, homes, private_key, terms
from tests.support.plain_packing import PlainPacking

MONTH = Period(date(2013, 1, 1), date(2013, 1, 31))
SLOTS = 2976
HOMES = 60
KEY_BITS = (1024, 1536, 2048, 3072, 4096)


@cache
def phe_keys(bits: int) -> tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey]:
    """The same modulus as ours: keys are interchangeable."""
    assert phe_util.HAVE_GMP
    ours = private_key(bits)
    public = phe.PaillierPublicKey(ours.p * ours.q)
    return public, phe.PaillierPrivateKey(public, ours.p, ours.q)


@cache
def encryptor(bits: int, exponent_bits: int) -> Encryptor:
    return Encryptor(private_key(bits).public_key, exponent_bits)


def readings(bits: int) -> int:
    """In a ciphertext."""
    layout = Layout.for_key(bits)
    return layout.slots * layout.limbs


def plaintexts(bits: int, count: int) -> list[int]:
    layout = Layout.for_key(bits)
    limbs = [int.from_bytes(os.urandom(31), "big") for _ in range(layout.limbs * count)]
    return layout.plaintexts_of(limbs)


def best(work: Callable[[], object], tries: int) -> float:
    """Return the best CPU time in microseconds."""
    times = []
    for _ in range(tries):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) * 1e6


def encryption(bits: int, exponent_bits: int, count: int = 20) -> float:
    """Microseconds a reading."""
    crypt, plain = encryptor(bits, exponent_bits), plaintexts(bits, count)
    spent = best(lambda: crypt.encrypt_many(plain, os.urandom), 7)
    return spent / count / readings(bits)


def encryption_by_phe(bits: int) -> float:
    public, _ = phe_keys(bits)
    return best(lambda: [public.encrypt(1234) for _ in range(5)], 5) / 5


def decryption(bits: int, count: int = 10) -> float:
    ciphertexts = encryptor(bits, SHORT_EXPONENT).encrypt_many(plaintexts(bits, count), os.urandom)
    spent = best(lambda: private_key(bits).decrypt_many(ciphertexts), 5)
    return spent / count / readings(bits)


def decryption_by_phe(bits: int) -> float:
    public, private = phe_keys(bits)
    encrypted = [public.encrypt(1234) for _ in range(10)]
    return best(lambda: [private.decrypt(one) for one in encrypted], 5) / 10


def aggregation(bits: int, count: int = 61) -> float:
    """Microseconds a reading to multiply a household's ciphertexts into the product."""
    row = encryptor(bits, SHORT_EXPONENT).encrypt_many(plaintexts(bits, count), os.urandom)
    key = private_key(bits).public_key
    mine = key.product([row])
    return best(lambda: key.multiply(mine, mine), 30) / count / readings(bits)


def aggregation_by_phe(bits: int) -> float:
    public, _ = phe_keys(bits)
    one, other = public.encrypt(1), public.encrypt(2)
    return best(lambda: [one + other for _ in range(100)], 5) / 100


def bench_encrypt_2048(benchmark: BenchmarkFixture) -> None:
    crypt, plain = encryptor(2048, 1024), plaintexts(2048, 1)
    benchmark(crypt.encrypt_many, plain, os.urandom)


def bench_encrypt_2048_short(benchmark: BenchmarkFixture) -> None:
    crypt, plain = encryptor(2048, SHORT_EXPONENT), plaintexts(2048, 1)
    benchmark(crypt.encrypt_many, plain, os.urandom)


def bench_encrypt_2048_phe(benchmark: BenchmarkFixture) -> None:
    public, _ = phe_keys(2048)
    benchmark(public.encrypt, 1234)


def bench_decrypt_2048(benchmark: BenchmarkFixture) -> None:
    ciphertexts = encryptor(2048, 1024).encrypt_many(plaintexts(2048, 1), os.urandom)
    benchmark(private_key(2048).decrypt_many, ciphertexts)


def bench_decrypt_2048_phe(benchmark: BenchmarkFixture) -> None:
    public, private = phe_keys(2048)
    benchmark(private.decrypt, public.encrypt(1234))


def print_beside_phe(bits: int) -> None:
    print(f"\n{bits} bits, µs a reading{'ours':>14}{'phe':>12}{'ratio':>10}   goal")
    naive = encryption_by_phe(bits)
    for name, exponent_bits, goal in (
        ("encrypt", bits // 2, "600 x at 2048"),
        ("  short exponent", SHORT_EXPONENT, "2,500 x at 2048"),
    ):
        ours = encryption(bits, exponent_bits)
        print(f"{name:24}{ours:14.2f}{naive:12.0f}{naive / ours:9.0f} x   {goal}")
    ours, naive = decryption(bits), decryption_by_phe(bits)
    print(f"{'decrypt':24}{ours:14.2f}{naive:12.0f}{naive / ours:9.0f} x   45 x")
    ours, naive = aggregation(bits), aggregation_by_phe(bits)
    print(f"{'aggregate':24}{ours:14.3f}{naive:12.1f}{naive / ours:9.0f} x   0.1 µs")


def print_table() -> None:
    print(f"\n{'key':>6}{'a ciphertext':>14}{'bytes a':>9}{'µs a reading: encrypt':>24}"
          f"{'short':>8}{'add':>8}{'decrypt':>9}{'make key':>11}")  # fmt: skip
    for bits in KEY_BITS:
        start = time.process_time()
        PaillierPrivateKey.generate(bits, os.urandom)
        made = time.process_time() - start
        print(f"{bits:6}{f'{readings(bits)} readings':>14}{bits / 4 / readings(bits):9.2f}"
              f"{encryption(bits, bits // 2):24.2f}{encryption(bits, SHORT_EXPONENT):8.2f}"
              f"{aggregation(bits):8.3f}{decryption(bits):9.1f}{made:9.2f} s")  # fmt: skip


def print_plain_packing() -> None:
    """Without masks, as a general packing of 40-bit slots beside phe."""
    print("\nunmasked, 40 bits a slot")
    for bits, count in ((2048, 48), (3072, 72)):
        packing = PlainPacking(count, 40, 24, 1 << 16)
        packed = [packing.pack(list(range(count)))]
        spent = best(partial(encryptor(bits, bits // 2).encrypt_many, packed, os.urandom), 20)
        print(f"{bits} bits: {count} slots, {bits / 4 / count:.2f} bytes and {spent / count:.2f} µs"
              " a reading")  # fmt: skip


def print_month() -> None:
    """A month of 60 homes of quarter-hours: every party's work, and what crosses the wire."""
    members = homes(HOMES, SLOTS)
    announced = announce(members, terms(2048, 15, MONTH, exponent_bits=1024))
    crypt = encryptor(2048, 1024)
    data = members[0].contribute(announced, crypt)
    spent = best(lambda: members[0].contribute(announced, crypt), 2)
    print(f"\na month of {SLOTS} readings, {HOMES} homes, 2048 bits, long exponent")
    print(f"contribution {len(data):,} bytes, {len(data) / SLOTS:.2f} a reading   goal 10.7")
    print(f"announcement {len(announced.encode()):,} bytes")
    print(f"a home's certifying, masking, encrypting: {spent / 1e3:.0f} ms,"
          f" {spent / SLOTS:.2f} µs a reading")  # fmt: skip
    start = time.process_time()
    collector = collect_with(announced, members, crypt)
    print(f"all homes and the concentrator: {time.process_time() - start:.1f} s")
    fresh = Collector(announced, COLLECTOR)
    start = time.process_time()
    for contribution in collector.evidence():
        fresh.contribute(contribution.encode())
    spent = (time.process_time() - start) * 1e6
    print(f"the concentrator takes and checks them: {spent / HOMES / 1e3:.2f} ms a home,"
          f" {spent / HOMES / SLOTS:.3f} µs a reading")  # fmt: skip
    batch = collector.batch()
    print(f"openings {len(batch.openings[0].encode())} bytes a home, batch"
          f" {len(batch.encode()):,} bytes")  # fmt: skip
    start = time.process_time()
    opened = decrypt_sum(announced, batch, private_key(2048))
    print(f"the operator opens and verifies the sum: {time.process_time() - start:.2f} s")
    assert opened.values == tuple(map(sum, zip(*(home.values for home in members), strict=True)))


def print_ranges() -> None:
    """Proved ranges, the option of a round: what it costs."""
    print(f"\nproved ranges of 20 bits{'values':>10}{'prove':>10}{'verify':>10}{'one of 5':>10}"
          f"{'bytes':>8}{'a value':>9}")  # fmt: skip
    day = Period(MONTH.first, MONTH.first)
    for name, resolution, period in (
        ("a month by day", 1440, MONTH),
        ("a day by quarter-hour", 15, day),
        ("a month by hour", 60, MONTH),
        ("a month by quarter-hour", 15, MONTH),
    ):
        about = terms(2048, resolution, period)
        home, *_ = members = homes(3, about.value_count())
        home.contribute(announce(members, about), encryptor(2048, SHORT_EXPONENT))
        limbs = about.layout.limbs_of(home.values)
        proof = prove_ranges(about, home.load, limbs, home.blinding, bytes(32))
        prove = best(partial(prove_ranges, about, home.load, limbs, home.blinding, bytes(32)), 2)
        checks = [ranges_check(about, home.load, proof, "it")] * 5
        one, five = best(partial(verify_all, checks[:1]), 2), best(partial(verify_all, checks), 1)
        count = len(home.values)
        print(f"{name:24}{count:10,}{prove / 1e6:8.2f} s{one / 1e6:8.2f} s{five / 5e6:8.2f} s"
              f"{len(proof):8,}{len(proof) / count:9.2f}")  # fmt: skip


def print_split() -> None:
    key = private_key(2048)
    first, _ = split_key(key, os.urandom)
    [ciphertext] = encryptor(2048, SHORT_EXPONENT).encrypt_many([1], os.urandom)
    spent = best(lambda: first.apply([ciphertext]), 3) / readings(2048)
    print(f"\na share of a split key, 2048 bits: {spent:.0f} µs a reading for each holder")


def collect_with(announced: Round, members: list[Home], crypt: Encryptor) -> Collector:
    collector = Collector(announced, COLLECTOR)
    for home in members:
        collector.contribute(home.contribute(announced, crypt))
    contributors = collector.close()
    for home in members:
        collector.agree(home.household.agree(contributors, home.contribution).encode())
    for home in members:
        opening = home.household.open(contributors, collector.agreements, home.blinding)
        collector.open(opening.encode())
    return collector


def main() -> None:
    for bits in (2048, 3072):
        print_beside_phe(bits)
    print_plain_packing()
    print_table()
    print_split()
    print_month()
    print_ranges()


if __name__ == "__main__":
    main()
