# SPDX-License-Identifier: Apache-2.0
"""Who spoiled a sum, found without opening anybody's part of it.

The concentrator hands out the contributions that its list names. If they are not signed, not those
that the contributors agreed on, or do not multiply to the product it gave, it is the culprit.

Otherwise a household is. Each contributor shows its pair points P[i,j] = Σ μ[l]·G[l] + σ·G, which
hide the masks perfectly. Both ends of a pair know its masks, so their points have to be the same;
where they are not, that one pair's key is shown, which tells nothing but who has lied. Then, for
any part S of the contributors, with masked limbs Y[S] out of the product of its ciphertexts,

    Σ_l Y[S][l]·G[l] + s[S]·G = Σ A[i] over S + Σ ±P[i,j] over i in S, j outside of S

and these checks add up: if it fails for S it fails for one of its halves, down to a single
household, which then has encrypted or opened something else than its certifier has signed. All
that is decrypted on the way is hidden by the masks of the pairs that S is one end of.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, TypeAlias

from protocols.aggregation.collector import (
    Batch,
    ciphertexts_of,
    require_contribution,
    require_member,
)
from protocols.aggregation.decryption import (
    RegionSum,
    masked_limbs,
    open_product,
    require_batch,
    unmask,
)
from protocols.aggregation.errors import (
    ContributionRefused,
    HolderRefused,
    RoundRefused,
    SumRefused,
)
from protocols.aggregation.loads import commit_limbs
from protocols.aggregation.masks import pair_masks, round_key
from protocols.aggregation.messages import Contribution, PairKey, PairPoints
from protocols.aggregation.paillier import Decryptor
from protocols.aggregation.round import Round
from protocols.aggregation.shared_secret_proof import verify_exchange
from protocols.proofs import Point, PointVector
from protocols.proofs.group import sum_points

Opener: TypeAlias = Callable[[Sequence[int]], Decryptor]
CONCENTRATOR: Final = b""
"""Stands for the concentrator where a meter's id would be."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """Who spoiled a sum, and how."""

    meter: bytes
    """Empty for the concentrator."""
    reason: str

    def __str__(self) -> str:
        who = f"meter {self.meter.hex()}" if self.meter else "the concentrator"
        return f"{who}: {self.reason}"


class Investigation:
    """A batch whose sum was refused, and the contributions it claims to come from."""

    def __init__(self, announced: Round, batch: Batch, decryptor: Decryptor) -> None:
        require_batch(announced, batch)
        self._round, self._batch, self._decryptor = announced, batch, decryptor
        self._indexes = batch.contributors.indexes
        self._ciphertexts: list[list[int]] = []
        self._points: dict[int, dict[int, Point]] = {}
        self.found: list[Culprit] = []
        """Those beyond doubt so far."""
        self.decrypted = 0
        """How many products over parts of the contributors were decrypted."""

    def examine_evidence(self, contributions: Sequence[Contribution]) -> RegionSum | None:
        """Take the contributions; return the sum if they open, None if a household spoiled it.

        A concentrator whose product is another one is in `found` afterwards, whatever is returned.
        Raises `Accused` if the contributions are not what it has vouched for.
        """
        if len(contributions) != len(self._indexes):
            raise Accused(Culprit(CONCENTRATOR, "it does not show the contributions"))
        self._ciphertexts = [
            self._examined(place, contribution) for place, contribution in enumerate(contributions)
        ]
        products = self._round.terms.key.product(self._ciphertexts)
        if products != ciphertexts_of(self._round.terms.key, self._batch.products):
            reason = "its product is not that of the contributions"
            self.found.append(Culprit(CONCENTRATOR, reason))
        try:
            values = open_product(self._round, self._batch, products, self._decryptor)
        except SumRefused:
            return None
        meters = tuple(self._meter(index) for index in self._indexes)
        missing = sum(load.missing for load in self._batch.loads)
        opened = self._round.terms.revealed(values, len(meters))
        return RegionSum(opened, meters, missing)

    def examine_points(self, points: Mapping[int, PairPoints]) -> None:
        """Take the contributors' pair points; those who gave none that count are in `silent`."""
        self._points.clear()
        for index in self._indexes:
            others = [other for other in self._indexes if other != index]
            given = points.get(index)
            if (
                given is not None
                and given.index == index
                and given.is_about(self._round, self._batch.contributors)
            ):
                self._points[index] = dict(zip(others, given.points, strict=True))

    @property
    def silent(self) -> tuple[bytes, ...]:
        """The meters that have shown no pair points; without theirs nothing can be bisected."""
        return tuple(self._meter(index) for index in self._indexes if index not in self._points)

    def disputes(self) -> tuple[tuple[int, int], ...]:
        """Return the pairs whose ends have shown different points."""
        return tuple(
            (i, j)
            for i, j in combinations(sorted(self._points), 2)
            if self._points[i][j] != self._points[j][i]
        )

    def settle(self, pair: tuple[int, int], keys: Iterable[PairKey]) -> None:
        """Find who of a pair has lied, by the secret that one end or both have shown.

        The secret comes with a proof that it is that of the two certified keys, so one is enough,
        and the honest end has shown it. If neither has, both are named.
        """
        secret = next(filter(None, (self._secret_in(key, pair) for key in keys)), None)
        if secret is None:
            reason = "it does not show the secret of a disputed pair"
            self.found.extend(Culprit(self._meter(index), reason) for index in pair)
            return
        point = self._point_of(secret, pair)
        for index, other in (pair, pair[::-1]):
            if self._points[index][other] != point:
                reason = f"its point for the pair with meter {self._meter(other).hex()} is wrong"
                self.found.append(Culprit(self._meter(index), reason))
            self._points[index][other] = point

    def bisect(self, opener: Opener | None = None) -> None:
        """Find every household whose part does not add up; disputes are settled by now.

        With a split key, `opener` returns what decrypts the product over those places of the list
        of contributors. Raises `SumRefused` while a household has not shown its pair points, or
        the key's other holder does not help.
        """
        if self.silent:
            raise SumRefused(f"{len(self.silent)} households do not show their pair points")
        reason = "it has not contributed what its certifier signed"
        bad = self._bad(tuple(range(len(self._indexes))), opener or (lambda _: self._decryptor))
        self.found.extend(Culprit(self._meter(self._indexes[place]), reason) for place in bad)

    def _bad(self, places: tuple[int, ...], opener: Opener) -> Iterator[int]:
        if self._adds_up(places, opener(places)):
            return
        if len(places) == 1:
            yield places[0]
            return
        middle = len(places) // 2
        yield from self._bad(places[:middle], opener)
        yield from self._bad(places[middle:], opener)

    def _adds_up(self, places: Sequence[int], decryptor: Decryptor) -> bool:
        """Check the equation of the module's docstring for a part of the contributors."""
        self.decrypted += 1
        products = self._round.terms.key.product([self._ciphertexts[place] for place in places])
        try:
            masked = masked_limbs(self._round, products, len(places), decryptor)
        except HolderRefused:
            raise  # says nothing about a household
        except SumRefused:
            return False
        openings = [self._batch.openings[place] for place in places]
        limbs, blinding = unmask(self._round, self._batch, openings, masked)
        inside = {self._indexes[place] for place in places}
        crossing = [
            point if index < other else -point
            for index in inside
            for other, point in self._points[index].items()
            if other not in inside
        ]
        loads = PointVector(self._batch.loads[place].commitment for place in places).sum()
        return commit_limbs(limbs, blinding) == sum_points([loads, *crossing])

    def _examined(self, place: int, contribution: Contribution) -> list[int]:
        index, digest = self._indexes[place], self._round.digest
        meter = self._meter(index)
        count = self._round.terms.layout.plaintext_count(self._round.terms.value_count())
        try:
            require_member(self._round, digest, contribution)
            ciphertexts = require_contribution(self._round, digest, contribution, count)
        except ContributionRefused as error:
            raise Accused(Culprit(CONCENTRATOR, f"it vouched for what is refused: {error}")) from (
                None
            )
        listed = self._batch.contributors.contributions[place]
        if contribution.index != index or contribution.digest != listed:
            raise Accused(
                Culprit(CONCENTRATOR, f"not the contribution that meter {meter.hex()} agreed on")
            )
        if contribution.load != self._batch.loads[place]:
            raise Accused(Culprit(CONCENTRATOR, f"another load for meter {meter.hex()}"))
        return ciphertexts

    def _secret_in(self, shown: PairKey, pair: tuple[int, int]) -> bytes | None:
        """Return the pair's shared secret if an end has signed and proved it."""
        if shown.round != self._round.digest or {shown.index, shown.other} != set(pair):
            return None
        ours, theirs = (self._round.members[i].keys for i in (shown.index, shown.other))
        if not shown.is_by(ours.signing):
            return None
        try:
            return verify_exchange(shown.proof, ours.exchange, theirs.exchange, self._round.digest)
        except RoundRefused:
            return None

    def _point_of(self, secret: bytes, pair: tuple[int, int]) -> Point:
        one, other = (self._round.members[index].keys.exchange for index in pair)
        terms = self._round.terms
        key = round_key(secret, one, other, self._round.digest)
        sigma, *masks = pair_masks(key, terms.layout.limb_count(terms.value_count()))
        return commit_limbs(masks, sigma)

    def _meter(self, index: int) -> bytes:
        return self._round.members[index].meter


class Accused(SumRefused):
    """The culprit is beyond doubt."""

    def __init__(self, culprit: Culprit) -> None:
        super().__init__(str(culprit))
        self.culprit = culprit
