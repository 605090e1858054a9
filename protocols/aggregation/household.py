# SPDX-License-Identifier: Apache-2.0
"""A household's part in a round: contribute, agree, open; and, in a dispute, say about pairs.

    y[l] = v[l] + β[l] + Σ_j ±μ[i,j][l]  mod order      over all other members j; encrypted
    s    = r    +        Σ_j ±σ[i,j]     mod order      shown in the opening
    P[i,j] = Σ_l μ[i,j][l]·G[l] + σ[i,j]·G              shown in a dispute

This class computes and checks what one step needs to be checked; that steps are taken once and in
order, and that no two sums differ in few members, is for the hub that keeps a record of them
(`rules`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.load_ranges import prove_ranges
from protocols.aggregation.loads import CertifiedLoad, commit_limbs
from protocols.aggregation.masks import pair_key, pair_masks, self_masks, sum_pair_masks
from protocols.aggregation.members import MemberSecret
from protocols.aggregation.messages import (
    Agreement,
    Contribution,
    Contributors,
    Opening,
    PairKey,
    PairPoints,
)
from protocols.aggregation.paillier import Encryptor, RandomBytes
from protocols.aggregation.round import Round
from protocols.aggregation.shared_secret_proof import prove_exchange
from protocols.proofs import Point, PointVector
from protocols.proofs.group import ORDER
from protocols.proofs.nonces import SEED_SIZE


@dataclass(frozen=True, eq=False)
class Household:
    """One member of a round, with its secrets."""

    round: Round
    index: int
    secret: MemberSecret = field(repr=False)

    def __post_init__(self) -> None:
        if self.round.members[self.index].keys.exchange != self.secret.exchange_key:
            raise RoundRefused("the roster has other keys for this meter than it has told")

    def contribute(
        self,
        limbs: Sequence[int],
        load: CertifiedLoad,
        encryptor: Encryptor,
        random_bytes: RandomBytes,
        blinding: int,
    ) -> Contribution:
        """Return the limbs, masked, encrypted and signed.

        `blinding` is the load's. In rounds that ask for it, the values' ranges are proved.
        """
        if encryptor.public_key != self.round.terms.key:
            raise ValueError("the encryptor is for another key than the round's")
        _, *pairs = sum_pair_masks(self._signed_keys(range(len(self.round.members))), len(limbs))
        own = self_masks(self.secret.mask_seed(self._digest), len(limbs))
        masked = [sum(parts) % ORDER for parts in zip(limbs, own, pairs, strict=True)]
        plaintexts = self.round.terms.layout.plaintexts_of(masked)
        size = encryptor.public_key.ciphertext_size
        ciphertexts = b"".join(
            ciphertext.to_bytes(size, "big")
            for ciphertext in encryptor.encrypt_many(plaintexts, random_bytes)
        )
        key_id = self.round.terms.key.key_id
        proof = b""
        if self.round.terms.are_ranges_proved:
            seed = random_bytes(SEED_SIZE)
            proof = prove_ranges(self.round.terms, load, limbs, blinding, seed)
        unsigned = Contribution(self._digest, self.index, key_id, load, ciphertexts, proof)
        return unsigned.signed(self.secret.signing_seed)

    def agree(self, contributors: Contributors, contribution: bytes) -> Agreement:
        """Return the word to open the sum over these; `contribution` is the digest of ours.

        Raises `RoundRefused` where it is of another round, or ours is not among them as it was.
        """
        if contributors.round != self._digest:
            raise RoundRefused("the contributors are of another round")
        if contributors.indexes[-1] >= len(self.round.members):
            raise RoundRefused("a contributor is not in the roster")
        ours = dict(zip(contributors.indexes, contributors.contributions, strict=True))
        if ours.get(self.index) != contribution:
            raise RoundRefused("our contribution is not among those to be opened")
        unsigned = Agreement(self._digest, self.index, contributors.digest)
        return unsigned.signed(self.secret.signing_seed)

    def open(
        self, contributors: Contributors, signatures: Sequence[bytes], blinding: int
    ) -> Opening:
        """Return what opens the sum, given every contributor's signature on its agreement.

        `blinding` is that of our load. Raises `RoundRefused` if a signature is missing or wrong.
        """
        self._require_agreement(contributors, signatures)
        sigma, *_ = sum_pair_masks(self._signed_keys(range(len(self.round.members))), 0)
        unsigned = Opening(
            self._digest,
            self.index,
            contributors.digest,
            (blinding + sigma) % ORDER,
            self.secret.mask_seed(self._digest),
            tuple(self._pair_keys[index] for index in self._dropped(contributors)),
        )
        return unsigned.signed(self.secret.signing_seed)

    def pair_points(self, contributors: Contributors) -> PairPoints:
        """Return the commitments to the masks of our pairs with the other contributors."""
        others = [index for index in contributors.indexes if index != self.index]
        points = PointVector(self._pair_point(other) for other in others)
        unsigned = PairPoints(self._digest, self.index, contributors.digest, points)
        return unsigned.signed(self.secret.signing_seed)

    def pair_key(self, contributors: Contributors, theirs: PairPoints) -> PairKey:
        """Return the key of our pair with who has signed a wrong point for it.

        Raises `RoundRefused` if the point is not theirs, or the right one: no key without a lie.
        """
        other = theirs.index
        if theirs.contributors != contributors.digest or theirs.round != self._digest:
            raise RoundRefused("the points are of another round")
        if other == self.index or other not in contributors.indexes:
            raise RoundRefused("the points are of nobody who has contributed")
        if not theirs.is_by(self.round.members[other].keys.signing):
            raise RoundRefused("the points are not signed by the other end of the pair")
        others = [index for index in contributors.indexes if index != other]
        place = others.index(self.index)
        if len(theirs.points) == len(others) and theirs.points[place] == self._pair_point(other):
            raise RoundRefused("both ends have signed the same point: there is nothing to settle")
        their_key = self.round.members[other].keys.exchange
        proof = prove_exchange(self.secret.exchange_seed, their_key, self._digest)
        return PairKey(self._digest, self.index, other, proof).signed(self.secret.signing_seed)

    @cached_property
    def _digest(self) -> bytes:
        return self.round.digest

    @cached_property
    def _pair_keys(self) -> dict[int, bytes]:
        seed, ours = self.secret.exchange_seed, self.secret.exchange_key
        return {
            index: pair_key(seed, ours, member.keys.exchange, self._digest)
            for index, member in enumerate(self.round.members)
            if index != self.index
        }

    def _signed_keys(self, indexes: Sequence[int]) -> list[tuple[int, bytes]]:
        keys = self._pair_keys
        return [
            (1 if self.index < other else -1, keys[other])
            for other in indexes
            if other != self.index
        ]

    def _pair_point(self, other: int) -> Point:
        count = self.round.terms.layout.limb_count(self.round.terms.value_count())
        sigma, *masks = pair_masks(self._pair_keys[other], count)
        return commit_limbs(masks, sigma)

    def _dropped(self, contributors: Contributors) -> list[int]:
        present = set(contributors.indexes)
        return [index for index in range(len(self.round.members)) if index not in present]

    def _require_agreement(self, contributors: Contributors, signatures: Sequence[bytes]) -> None:
        if contributors.round != self._digest:
            raise RoundRefused("the contributors are of another round")
        if len(signatures) != len(contributors.indexes):
            raise RoundRefused("not every contributor has agreed")
        digest = contributors.digest
        for index, signature in zip(contributors.indexes, signatures, strict=True):
            member = self.round.members[index]
            agreement = Agreement(self._digest, index, digest, signature=signature)
            if not agreement.is_by(member.keys.signing):
                raise RoundRefused(f"meter {member.meter.hex()} has not agreed")
