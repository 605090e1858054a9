# SPDX-License-Identifier: Apache-2.0
"""The operator's part: decrypt the product, take the masks away, check against what was signed.

Public:  the certifiers' commitments A[i] of the contributors i in U, their openings, the product.
Secret:  the Paillier key; and each household's limbs, from the operator as well.
Claim:   V = Σ v[i] over U.
Proof:   Σ_l V[l]·G[l] + R·G = Σ A[i], where R = Σ s[i] less the masks of dropped pairs.

Nobody can find other limbs that pass, so whatever concentrator, network or households did on the
way, a sum that opens is the sum of what the certifiers have signed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocols.aggregation.collector import (
    Batch,
    require_load,
    require_member,
    require_ranges,
)
from protocols.aggregation.errors import (
    ContributionRefused,
    PackingRefused,
    SumRefused,
)
from protocols.aggregation.loads import commit_limbs
from protocols.aggregation.masks import self_masks, sum_pair_masks
from protocols.aggregation.messages import Opening
from protocols.aggregation.paillier import Decryptor
from protocols.aggregation.round import Round
from protocols.proofs import PointVector, ProofError
from protocols.proofs.group import ORDER


@dataclass(frozen=True, slots=True)
class RegionSum:
    """What a region used, and what that counts."""

    values: tuple[int, ...]
    """Watt-hours, a value for each slot, hour or day; in a weighted round the one number, in 10^-9
    of the currency."""
    meters: tuple[bytes, ...]
    """Whose use it is the sum of."""
    incomplete: dict[bytes, int]
    """Those of them who lack readings, and of how many slots."""
    missing_slots: int
    """Slots of all households together that are missing, and counted as 0."""


def decrypt_sum(announced: Round, batch: Batch, decryptor: Decryptor) -> RegionSum:
    """Return the sum that the batch opens; raise `SumRefused` if it is not what was signed."""
    require_batch(announced, batch)
    try:
        require_ranges(announced, batch.loads, batch.range_proofs)
    except ProofError as error:
        raise SumRefused(f"the ranges of the values: {error}") from None
    products = announced.terms.key.decode_ciphertexts(batch.products)
    return decrypt_product(announced, batch, products, decryptor)


def require_batch(announced: Round, batch: Batch) -> None:
    """Return if every part of the batch is signed by whom it has to be; else `SumRefused`."""
    digest, contributors = announced.digest, batch.contributors
    count = len(contributors.indexes)
    if contributors.round != digest or contributors.indexes[-1] >= len(announced.members):
        raise SumRefused("the batch is of another round")
    if not count == len(batch.loads) == len(batch.openings) == len(batch.range_proofs):
        raise SumRefused("the batch has not one load and one opening for each contributor")
    if not contributors.is_by(announced.collector):
        raise SumRefused("the list of contributors is not signed by who collects the round")
    dropped = len(announced.members) - count
    for index, load, opening in zip(
        contributors.indexes, batch.loads, batch.openings, strict=True
    ):  # fmt: skip
        try:
            require_load(announced, digest, index, load)
            meter = require_member(announced, digest, opening)
        except ContributionRefused as error:
            raise SumRefused(f"the batch holds what it must not: {error}") from None
        if opening.index != index or opening.contributors != contributors.digest:
            raise SumRefused(f"meter {meter.hex()}: its opening is for another sum")
        if len(opening.dropped_keys) != dropped:
            raise SumRefused(f"meter {meter.hex()}: not one key for each member that dropped out")
    if contributors.missing != tuple(load.missing for load in batch.loads):
        raise SumRefused("the list names other slots as missing than the loads do")


def decrypt_product(
    announced: Round, batch: Batch, products: Sequence[int], decryptor: Decryptor
) -> RegionSum:
    """Return the sum that the products hold; raise `SumRefused` if it is not what was signed."""
    layout, count = announced.terms.layout, announced.terms.value_count()
    limb_count = layout.limb_count(count)
    size = len(batch.contributors.indexes)
    if len(products) != layout.plaintext_count(count):
        raise SumRefused("the products are not those of the period")
    masked = masked_limbs(announced, products, size, decryptor)
    limbs, blinding = unmask(announced, batch, batch.openings, masked)
    loads = PointVector(load.commitment for load in batch.loads)
    if commit_limbs(limbs, blinding) != loads.sum():
        raise SumRefused("the sum is not that of the certified loads")
    try:
        values = layout.values_of(limbs, count)
    except PackingRefused as error:  # only certifiers that sign what no house can use get here
        raise SumRefused(f"the certified loads of {limb_count} limbs overflow: {error}") from None
    return RegionSum(
        announced.terms.revealed(values, size),
        tuple(announced.members[index].meter for index in batch.contributors.indexes),
        {load.meter: load.missing for load in batch.loads if load.missing},
        sum(load.missing for load in batch.loads),
    )


def masked_limbs(
    announced: Round, products: Sequence[int], size: int, decryptor: Decryptor
) -> list[int]:
    """Return the limbs of the sum over `size` households, still masked; else `SumRefused`."""
    layout, count = announced.terms.layout, announced.terms.value_count()
    try:
        plaintexts = decryptor.decrypt_many(products)
        return layout.limbs_in(plaintexts, layout.limb_count(count), size)
    except (PackingRefused, ValueError) as error:
        raise SumRefused(f"the products do not decrypt to a sum: {error}") from None


def unmask(
    announced: Round, batch: Batch, openings: Iterable[Opening], masked: Sequence[int]
) -> tuple[list[int], int]:
    """Take away self masks and the masks of dropped pairs; return limbs and blinding.

    What is left on a part of the contributors are the masks that it shares with the others.
    """
    present = set(batch.contributors.indexes)
    dropped = [index for index in range(len(announced.members)) if index not in present]
    pairs: list[tuple[int, bytes]] = []
    limbs, blinding = list(masked), 0
    for opening in openings:
        own = self_masks(opening.mask_seed, len(limbs))
        limbs = [limb - mask for limb, mask in zip(limbs, own, strict=True)]
        blinding += opening.blinding
        for other, key in zip(dropped, opening.dropped_keys, strict=True):
            pairs.append((1 if opening.index < other else -1, key))
    sigma, *masks = sum_pair_masks(pairs, len(limbs))
    limbs = [(limb - mask) % ORDER for limb, mask in zip(limbs, masks, strict=True)]
    return limbs, (blinding - sigma) % ORDER
