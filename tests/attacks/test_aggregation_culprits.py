# SPDX-License-Identifier: Apache-2.0
"""Households and concentrators that spoil a sum: none is opened, each is named."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from protocols.aggregation.collector import Batch, Collector
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.dispute import CONCENTRATOR, Accused, Culprit
from protocols.aggregation.errors import RoundRefused, SumRefused
from protocols.aggregation.masks import self_masks, sum_pair_masks
from protocols.aggregation.messages import Contribution, Opening, PairPoints
from protocols.aggregation.paillier import Encryptor
from protocols.aggregation.round import Round
from protocols.proofs.group import ORDER
from tests.support.aggregation import (
    COLLECTOR,
    Home,
    announce,
    collect,
    encryptor,
    finish,
    homes,
    investigate,
    plain_sum,
    private_key,
    randomness,
)

CULPRIT = 4


def named(found: Sequence[Culprit]) -> set[bytes]:
    return {culprit.meter for culprit in found}


def spoil_values(home: Home, limbs: list[int]) -> list[int]:
    return [limbs[0] + 1, *limbs[1:]]


def overflow(home: Home, limbs: list[int]) -> list[int]:
    """A slot beyond its bits, so that it would count in the next one."""
    return [limbs[0] + (1 << 36), *limbs[1:]]


class CheatingHome(Home):
    """Signs one load and encrypts another."""

    spoil: Callable[[Home, list[int]], list[int]]

    def contribute(self, announced: Round, crypt: Encryptor) -> bytes:
        super().contribute(announced, crypt)
        limbs = announced.terms.layout.limbs_of(self.values)
        made = self.household.contribute(
            type(self).spoil(self, limbs), self.load, crypt, randomness("cheat"), 0
        )
        self.contribution = made.digest
        return made.encode()


def run(
    cheat: type[Home] | None = None, dropped: tuple[int, ...] = ()
) -> tuple[Round, list[Home], Collector]:
    members = homes(9, 24)
    if cheat is not None:
        members[CULPRIT] = cheat(CULPRIT, members[CULPRIT].values)
    announced = announce(members)
    return announced, members, collect(announced, members, dropped)


@pytest.mark.parametrize("spoil", [spoil_values, overflow])
@pytest.mark.parametrize("dropped", [(), (0, 7)])
def test_a_household_that_encrypts_what_was_not_signed_is_named(
    spoil: Callable[[Home, list[int]], list[int]], dropped: tuple[int, ...]
) -> None:
    cheat = type("Cheat", (CheatingHome,), {"spoil": spoil})
    announced, members, collector = run(cheat, dropped)
    batch = collector.batch()
    with pytest.raises(SumRefused):
        decrypt_sum(announced, batch, private_key())
    inquiry, opened = investigate(announced, members, batch, collector.evidence())
    assert opened is None
    assert named(inquiry.culprits) == {members[CULPRIT].meter}
    assert inquiry.decrypted <= 9


def test_two_households_that_cheat_are_both_named() -> None:
    members = homes(9, 24)
    cheat = type("Cheat", (CheatingHome,), {"spoil": spoil_values})
    for number in (1, 6):
        members[number] = cheat(number, members[number].values)
    announced = announce(members)
    collector = collect(announced, members)
    inquiry, _ = investigate(announced, members, collector.batch(), collector.evidence())
    assert named(inquiry.culprits) == {members[1].meter, members[6].meter}


def reopened(collector: Collector, home: Home, **changes: Any) -> Batch:
    """Return the batch with another opening of one home, rightly signed."""
    batch = collector.batch()
    openings = list(batch.openings)
    place = batch.contributors.indexes.index(home.household.index)
    changed: Opening = replace(openings[place], **changes)
    openings[place] = changed.signed(home.secret.signing_seed)
    return replace(batch, openings=tuple(openings))


@pytest.mark.parametrize(
    "changes",
    [{"blinding": 5}, {"mask_seed": bytes(32)}, {"dropped_keys": (bytes(32), bytes(32))}],
    ids=["blinding", "mask_seed", "dropped_keys"],
)
def test_a_household_that_opens_wrongly_is_named(changes: dict[str, Any]) -> None:
    announced, members, collector = run(dropped=(0, 7))
    batch = reopened(collector, members[CULPRIT], **changes)
    with pytest.raises(SumRefused):
        decrypt_sum(announced, batch, private_key())
    inquiry, _ = investigate(announced, members, batch, collector.evidence())
    assert named(inquiry.culprits) == {members[CULPRIT].meter}


def wrong_point(members: list[Home], collector: Collector) -> dict[int, PairPoints]:
    """Return pair points of the culprit in which the one for member 2 is another."""
    shown = members[CULPRIT].household.pair_points(collector.close())
    points = list(shown.points)
    points[2] = points[3]
    lie = replace(shown, points=type(shown.points)(points))
    return {CULPRIT: lie.signed(members[CULPRIT].secret.signing_seed)}


def test_a_wrong_pair_point_is_settled_by_the_other_end_and_its_author_named() -> None:
    cheat = type("Cheat", (CheatingHome,), {"spoil": spoil_values})
    announced, members, collector = run(cheat)
    points = wrong_point(members, collector)
    inquiry, _ = investigate(
        announced, members, collector.batch(), collector.evidence(), points=points
    )
    assert named(inquiry.culprits) == {members[CULPRIT].meter}
    assert any("pair with meter" in culprit.reason for culprit in inquiry.culprits)


class WrongPairKeyHome(Home):
    """Masks with another key than the pair's, and swears to it in every later step."""

    def contribute(self, announced: Round, crypt: Encryptor) -> bytes:
        super().contribute(announced, crypt)
        self.household._pair_keys[2] = bytes(32)
        limbs = announced.terms.layout.limbs_of(self.values)
        made = self.household.contribute(limbs, self.load, crypt, randomness("cheat"), 0)
        self.contribution = made.digest
        return made.encode()


def test_a_household_that_masks_with_a_wrong_pair_key_throughout_is_named() -> None:
    announced, members, collector = run(WrongPairKeyHome)
    batch = collector.batch()
    with pytest.raises(SumRefused):
        decrypt_sum(announced, batch, private_key())
    inquiry, _ = investigate(announced, members, batch, collector.evidence())
    assert named(inquiry.culprits) == {members[CULPRIT].meter}


def test_a_pair_key_is_shown_to_nobody_without_a_lie_to_settle() -> None:
    _, members, collector = run()
    contributors = collector.close()
    honest = members[CULPRIT].household.pair_points(contributors)
    with pytest.raises(RoundRefused, match="nothing to settle"):
        members[2].household.pair_key(contributors, honest)
    forged = replace(honest, points=honest.points[:3])
    with pytest.raises(RoundRefused, match="not signed"):
        members[2].household.pair_key(contributors, forged)


def test_households_that_keep_silent_in_a_dispute_are_told_apart() -> None:
    cheat = type("Cheat", (CheatingHome,), {"spoil": spoil_values})
    announced, members, collector = run(cheat)
    inquiry, _ = investigate(
        announced, members, collector.batch(), collector.evidence(), silent={CULPRIT}
    )
    assert inquiry.silent == (members[CULPRIT].meter,)
    with pytest.raises(SumRefused, match="do not show"):
        inquiry.bisect()


def test_a_limb_that_would_run_over_into_the_next_is_blamed_on_its_author() -> None:
    """Its own limb is right modulo the order; only the carry out of the sum is not."""
    members = homes(9, 24)
    announced = announce(members)
    layout = announced.terms.layout
    collector = Collector(announced, COLLECTOR)
    for home in members:
        data = home.contribute(announced, encryptor())
        if home.number == CULPRIT:
            honest = Contribution.decode(data)
            key = announced.terms.key
            size = key.ciphertext_size
            first = int.from_bytes(honest.ciphertexts[:size], "big")
            [masked] = private_key().decrypt_many([first])
            limb = masked & (1 << layout.limb_bits) - 1
            excess = ((1 << layout.limb_bits) - 1 - limb) // ORDER * ORDER
            [spoiled] = key.multiply([first], [encryptor().encrypt(excess, randomness("x"))])
            forged = int(spoiled).to_bytes(size, "big") + honest.ciphertexts[size:]
            made = replace(honest, ciphertexts=forged).signed(home.secret.signing_seed)
            home.contribution, data = made.digest, made.encode()
        collector.contribute(data)
    finish(collector, members)
    batch = collector.batch()
    with pytest.raises(SumRefused):
        decrypt_sum(announced, batch, private_key())
    inquiry, _ = investigate(announced, members, batch, collector.evidence())
    assert named(inquiry.culprits) == {members[CULPRIT].meter}


def products_of(announced: Round, evidence: Sequence[Contribution], places: Sequence[int]) -> bytes:
    key = announced.terms.key
    size = key.ciphertext_size
    rows = []
    for place in places:
        data = evidence[place].ciphertexts
        rows.append([int.from_bytes(data[a : a + size], "big") for a in range(0, len(data), size)])
    return b"".join(int(product).to_bytes(size, "big") for product in key.product(rows))


@pytest.mark.parametrize(
    "places",
    [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8, 8], [0, 1, 2, 3, 4, 5, 6, 7, 7]],
    ids=["drops", "repeats", "swaps"],
)
def test_a_concentrator_that_multiplies_others_is_named_and_the_true_sum_saved(
    places: list[int],
) -> None:
    announced, members, collector = run()
    products = products_of(announced, collector.evidence(), places)
    batch = replace(collector.batch(), products=products)
    with pytest.raises(SumRefused):
        decrypt_sum(announced, batch, private_key())
    inquiry, opened = investigate(announced, members, batch, collector.evidence())
    assert named(inquiry.culprits) == {CONCENTRATOR}
    assert opened is not None
    assert opened.values == plain_sum(members)


def test_a_concentrator_that_alters_the_product_is_named() -> None:
    announced, members, collector = run()
    batch = collector.batch()
    key = announced.terms.key
    size = key.ciphertext_size
    first = int.from_bytes(batch.products[:size], "big")
    more = key.multiply([first], [encryptor().encrypt(1000, randomness("more"))])[0]
    altered = int(more).to_bytes(size, "big") + batch.products[size:]
    batch = replace(batch, products=altered)
    with pytest.raises(SumRefused):
        decrypt_sum(announced, batch, private_key())
    inquiry, _ = investigate(announced, members, batch, collector.evidence())
    assert named(inquiry.culprits) == {CONCENTRATOR}


def test_a_concentrator_that_shows_other_contributions_than_agreed_is_named() -> None:
    announced, members, collector = run()
    batch, evidence = collector.batch(), list(collector.evidence())
    with pytest.raises(Accused, match="the concentrator: it does not show"):
        investigate(announced, members, batch, evidence[:-1])
    again = members[3].household.contribute(
        announced.terms.layout.limbs_of([1] * 24),
        members[3].load,
        encryptor(),
        randomness("again"),
        0,
    )
    with pytest.raises(Accused, match="the concentrator: not the contribution that meter"):
        investigate(announced, members, batch, [*evidence[:3], again, *evidence[4:]])
    forged = replace(evidence[3], ciphertexts=evidence[2].ciphertexts)
    with pytest.raises(Accused, match="the concentrator: it vouched"):
        investigate(announced, members, batch, [*evidence[:3], forged, *evidence[4:]])


def test_a_batch_with_parts_that_nobody_signed_is_refused() -> None:
    announced, members, collector = run(dropped=(0,))
    batch = collector.batch()
    loads, openings = list(batch.loads), list(batch.openings)
    swapped = [loads[1], loads[0], *loads[2:]]
    with pytest.raises(SumRefused, match="another meter's load"):
        decrypt_sum(announced, replace(batch, loads=tuple(swapped)), private_key())
    with pytest.raises(SumRefused, match="not signed by the certifier"):
        bad = replace(loads[0], missing=9)
        decrypt_sum(announced, replace(batch, loads=(bad, *loads[1:])), private_key())
    with pytest.raises(SumRefused, match="not signed by the member"):
        forged = replace(openings[0], blinding=1)
        decrypt_sum(announced, replace(batch, openings=(forged, *openings[1:])), private_key())
    with pytest.raises(SumRefused, match="not one load and one opening"):
        decrypt_sum(announced, replace(batch, openings=tuple(openings[1:])), private_key())
    other = announce(members, nonce=bytes(32))
    with pytest.raises(SumRefused, match="another round"):
        decrypt_sum(other, batch, private_key())


def test_what_a_dispute_decrypts_of_one_household_is_masked() -> None:
    """The operator sees its limbs only with masks of pairs that nobody has shown."""
    announced, members, collector = run()
    evidence = collector.evidence()[CULPRIT]
    size = announced.terms.key.ciphertext_size
    data = evidence.ciphertexts
    rows = [int.from_bytes(data[a : a + size], "big") for a in range(0, len(data), size)]
    layout = announced.terms.layout
    count = layout.limb_count(24)
    masked = layout.limbs_in(private_key().decrypt_many(rows), count, 1)
    limbs = layout.limbs_of(members[CULPRIT].values)
    household = members[CULPRIT].household
    seed = members[CULPRIT].secret.mask_seed(announced.digest)
    own = self_masks(seed, count)
    pairs = sum_pair_masks(household._signed_keys(range(9)), count)[1:]
    assert [(m - o - p) % ORDER for m, o, p in zip(masked, own, pairs, strict=True)] == limbs
    assert all((m - o) % ORDER >> 240 for m, o in zip(masked, own, strict=True))
