# SPDX-License-Identifier: Apache-2.0
"""Households, a concentrator and an operator in one process, for tests and benchmarks."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.aggregation.collector import Batch, Collector
from protocols.aggregation.decryption import RegionSum
from protocols.aggregation.dispute import Dispute
from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.household import RoundHousehold
from protocols.aggregation.loads import CertifiedLoad, SlotCoverage, commit_limbs
from protocols.aggregation.members import MemberKeys, MemberSecret, MeterCertificate, RosterMember
from protocols.aggregation.messages import Contribution, Contributors, PairPoints
from protocols.aggregation.paillier import Encryptor, PaillierPrivateKey
from protocols.aggregation.round import Round, RoundTerms
from protocols.metrology import Period
from protocols.proofs.group import ORDER

AUTHORITY = bytes(range(32))
OPERATOR = bytes(range(32, 64))
COLLECTOR = bytes([2] * 32)
REGION = "Feeder 7"
REGISTER = bytes.fromhex("0100010800ff")
NONCE = bytes(range(64, 96))
DAY = Period(date(2013, 3, 4), date(2013, 3, 4))


def public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


COLLECTOR_KEY = public_of(COLLECTOR)


def randomness(seed: object) -> Callable[[int], bytes]:
    """Return bytes that look random and are the same for each run."""
    return random.Random(repr(seed)).randbytes


@cache
def private_key(bits: int = 1024) -> PaillierPrivateKey:
    return PaillierPrivateKey.generate(bits, randomness(("paillier", bits)))


@cache
def encryptor(bits: int = 1024, exponent_bits: int = 256) -> Encryptor:
    return Encryptor(private_key(bits).public_key, exponent_bits)


@dataclass
class Home:
    """One household: its meter, its certifier and its use."""

    number: int
    values: list[int]
    region: str = REGION
    missing: int = 0
    """How many of its slots have no reading, as its certifier says."""
    household: RoundHousehold = field(init=False)
    load: CertifiedLoad = field(init=False)
    blinding: int = field(init=False)
    contribution: bytes = field(init=False)

    @property
    def meter(self) -> bytes:
        return b"meter %05d" % self.number

    @property
    def certifier(self) -> bytes:
        return randomness(("certifier", self.number))(32)

    @property
    def secret(self) -> MemberSecret:
        return self.secret_for(NONCE)

    def secret_for(self, nonce: bytes) -> MemberSecret:
        return MemberSecret(randomness(("secret", self.number))(32), nonce)

    def member(self, nonce: bytes = NONCE, authority: bytes = AUTHORITY) -> RosterMember:
        return RosterMember(
            MeterCertificate(self.region, self.meter, public_of(self.certifier)).signed(authority),
            MemberKeys.issue(nonce, self.meter, self.secret_for(nonce), self.certifier),
        )

    def covered(self, announced: bytes) -> SlotCoverage:
        return SlotCoverage(announced, self.meter, self.missing).signed(self.certifier)

    def certified(self, announced: bytes, limbs: Sequence[int]) -> CertifiedLoad:
        """Return the load of any limbs, as a certifier signs it that believes them."""
        commitment = commit_limbs(limbs, self.blinding)
        covered = self.covered(announced)
        return CertifiedLoad.certify(covered, bytes(32), commitment, self.certifier)

    def contribute(self, announced: Round, crypt: Encryptor) -> bytes:
        """Return the contribution of this home's use, or of what a test has put in its place."""
        layout, digest = announced.terms.layout, announced.digest
        limbs = layout.limbs_of(announced.terms.contributed(self.values))
        self.blinding = int.from_bytes(randomness((self.number, digest))(48), "big") % ORDER
        self.load = self.certified(digest, limbs)
        secret = self.secret_for(announced.nonce)
        self.household = RoundHousehold(announced, announced.index_of(self.meter), secret)
        made = self.household.contribute(
            limbs,
            self.load,
            crypt,
            randomness(("encryption", self.number, digest)),
            self.blinding,
        )
        self.contribution = made.digest
        return made.encode()


def terms(
    bits: int = 1024, resolution: int = 60, period: Period = DAY, **other: object
) -> RoundTerms:
    given: dict[str, object] = {
        "region": REGION,
        "register": REGISTER,
        "period": period,
        "zone": "Europe/London",
        "resolution_minutes": resolution,
        "value_bits": 20,
        "group_bits": 16,
        "exponent_bits": 256,
        "key": private_key(bits).public_key,
    }
    return RoundTerms(**{**given, **other})  # type: ignore[arg-type]


def homes(count: int, values: int, seed: int = 0) -> list[Home]:
    drawn = random.Random(seed)
    return [
        Home(number, [drawn.randrange(3_000) for _ in range(values)]) for number in range(count)
    ]


def announce(
    members: Sequence[Home], about: RoundTerms | None = None, nonce: bytes = NONCE
) -> Round:
    return Round.announce(
        about or terms(), nonce, 1_400_000_000, COLLECTOR_KEY,
        tuple(home.member(nonce) for home in members), OPERATOR,
    )  # fmt: skip


def contributors_of(announced: Round, members: Sequence[Home], *indexes: int) -> Contributors:
    """Return a list of these members, as their certifiers would sign it; of no contributions."""
    covered = [members[index].covered(announced.digest) for index in indexes]
    return Contributors(
        announced.digest,
        indexes,
        (bytes(32),) * len(indexes),
        tuple(one.missing for one in covered),
        tuple(one.signature for one in covered),
    ).signed(COLLECTOR)


def collect(announced: Round, members: Sequence[Home], dropped: Collection[int] = ()) -> Collector:
    """Return the round after all steps, without the homes of these numbers."""
    collector = Collector(announced, COLLECTOR)
    crypt = encryptor(announced.terms.key.bits, announced.terms.exponent_bits)
    present = [home for home in members if home.number not in dropped]
    for home in present:
        collector.contribute(home.contribute(announced, crypt))
    finish(collector, present)
    return collector


def finish(collector: Collector, present: Sequence[Home]) -> None:
    """Let all of `present` agree and open."""
    contributors = collector.close()
    for home in present:
        collector.agree(home.household.agree(contributors, home.contribution).encode())
    for home in present:
        opening = home.household.open(contributors, collector.agreements, home.blinding)
        collector.open(opening.encode())


def plain_sum(members: Sequence[Home]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(home.values for home in members), strict=True)))


def investigate(
    announced: Round,
    members: Sequence[Home],
    batch: Batch,
    evidence: Sequence[Contribution],
    points: Mapping[int, PairPoints] | None = None,
    silent: Collection[int] = (),
) -> tuple[Dispute, RegionSum | None]:
    """Return what an operator finds out who asks all households of a spoiled round."""
    inquiry = Dispute(announced, batch, private_key(announced.terms.key.bits))
    opened = inquiry.examine_evidence(evidence)
    if opened is not None:
        return inquiry, opened
    by_index = {
        announced.index_of(home.meter): home for home in members if home.number not in silent
    }
    present = {i: by_index[i] for i in batch.contributors.indexes if i in by_index}
    shown = {i: home.household.pair_points(batch.contributors) for i, home in present.items()}
    shown |= points or {}
    inquiry.examine_points(shown)
    for one, other in inquiry.disputes():
        keys = []
        for ours, theirs in ((one, other), (other, one)):
            with suppress(RoundRefused):
                keys.append(present[ours].household.pair_key(batch.contributors, shown[theirs]))
        inquiry.settle((one, other), keys)
    if not inquiry.silent:
        inquiry.bisect()
    return inquiry, None
