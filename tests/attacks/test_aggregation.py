# SPDX-License-Identifier: Apache-2.0
"""Rounds under attack: bad input, invented members, lies about who dropped out, replays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from protocols.aggregation.collector import Batch, Collector
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import (
    AggregationError,
    ContributionRefused,
    Fault,
    MalformedMessage,
    PackingRefused,
    RoundRefused,
)
from protocols.aggregation.household import RoundHousehold
from protocols.aggregation.loads import CertifiedLoad, commit_limbs
from protocols.aggregation.masks import self_masks, sum_pair_masks
from protocols.aggregation.messages import Contribution, Contributors, Opening, PairPoints
from protocols.aggregation.round import Round
from protocols.aggregation.rules import Rules
from protocols.metrology import Period
from protocols.proofs.group import ORDER
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR,
    Home,
    announce,
    collect,
    encryptor,
    finish,
    homes,
    plain_sum,
    private_key,
    public_of,
    randomness,
    terms,
)

RULES = Rules((public_of(AUTHORITY),))
NOW = 1_399_000_000

Forge = Callable[[Contribution, Home, Round], Contribution | bytes]


def resign(made: Contribution, home: Home) -> Contribution:
    return made.signed(home.secret.signing_seed)


def with_ciphertext(made: Contribution, home: Home, value: int) -> Contribution:
    size = 256
    data = value.to_bytes(size, "big") + made.ciphertexts[size:]
    return resign(replace(made, ciphertexts=data), home)


def of_another_key(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, key_id=bytes(8)), home)


def not_coprime(made: Contribution, home: Home, _: Round) -> Contribution:
    return with_ciphertext(made, home, private_key().p)


def oversized(made: Contribution, home: Home, announced: Round) -> Contribution:
    return with_ciphertext(made, home, announced.terms.key.modulus**2)


def too_short(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, ciphertexts=made.ciphertexts[:-256]), home)


def too_long(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, ciphertexts=made.ciphertexts * 2), home)


def cut(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, ciphertexts=made.ciphertexts[:-1]), home)


def of_a_stranger(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, index=99), home)


def in_another_name(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, index=1), home)


def of_another_round(made: Contribution, home: Home, _: Round) -> Contribution:
    return resign(replace(made, round=bytes(32)), home)


def tampered(made: Contribution, home: Home, _: Round) -> Contribution:
    return replace(made, ciphertexts=made.ciphertexts[::-1])


def with_a_load_of_its_own(made: Contribution, home: Home, announced: Round) -> Contribution:
    load = CertifiedLoad.certify(
        made.load.slot_coverage, bytes(32), commit_limbs([1] * 4, 5), bytes(32)
    )
    return resign(replace(made, load=load), home)


def with_anothers_load(made: Contribution, home: Home, announced: Round) -> Contribution:
    other = Home(1, home.values)
    other.contribute(announced, encryptor())
    return resign(replace(made, load=other.load), home)


def garbage(made: Contribution, home: Home, _: Round) -> bytes:
    return made.encode()[:-1]


FORGERIES: list[tuple[Forge, Fault]] = [
    (of_another_key, Fault.OTHER_KEY),
    (not_coprime, Fault.NOT_COPRIME),
    (oversized, Fault.OVERSIZED),
    (too_short, Fault.WRONG_COUNT),
    (too_long, Fault.WRONG_COUNT),
    (cut, Fault.WRONG_COUNT),
    (of_a_stranger, Fault.UNKNOWN_METER),
    (in_another_name, Fault.BAD_SIGNATURE),
    (of_another_round, Fault.OTHER_ROUND),
    (tampered, Fault.BAD_SIGNATURE),
    (with_a_load_of_its_own, Fault.BAD_LOAD),
    (with_anothers_load, Fault.UNKNOWN_METER),
    (garbage, Fault.MALFORMED),
]


@pytest.mark.parametrize(("forge", "fault"), FORGERIES, ids=lambda f: getattr(f, "__name__", ""))
def test_a_bad_contribution_is_refused_by_name_and_counted_while_the_round_goes_on(
    forge: Forge, fault: Fault
) -> None:
    members = homes(6, 24)
    announced = announce(members)
    collector = Collector(announced, COLLECTOR)
    first, *others = members
    made = forge(Contribution.decode(first.contribute(announced, encryptor())), first, announced)
    with pytest.raises(ContributionRefused) as refused:
        collector.contribute(made if isinstance(made, bytes) else made.encode())
    assert refused.value.fault is fault
    assert collector.refused == {fault: 1}
    for home in others:
        collector.contribute(home.contribute(announced, encryptor()))
    finish(collector, others)
    assert decrypt_sum(announced, collector.batch(), private_key()).values == plain_sum(others)


def test_repeated_and_late_contributions_are_refused_and_counted() -> None:
    members = homes(6, 24)
    announced = announce(members)
    collector = Collector(announced, COLLECTOR)
    data = [home.contribute(announced, encryptor()) for home in members]
    for one in data[:5]:
        collector.contribute(one)
    for again in data[:2]:
        with pytest.raises(ContributionRefused, match="repeated"):
            collector.contribute(again)
    collector.close()
    with pytest.raises(ContributionRefused, match="too late"):
        collector.contribute(data[5])
    assert collector.refused == {Fault.REPEATED: 2, Fault.LATE: 1}
    finish(collector, members[:5])
    assert decrypt_sum(announced, collector.batch(), private_key()).values == plain_sum(members[:5])


def test_a_contribution_to_another_period_is_refused() -> None:
    """Out of its period: the round's digest says which one it is for."""
    members = homes(6, 24)
    tuesday = announce(members, terms(period=Period(date(2013, 3, 5), date(2013, 3, 5))))
    collector = Collector(announce(members), COLLECTOR)
    with pytest.raises(ContributionRefused, match="of another round"):
        collector.contribute(members[0].contribute(tuesday, encryptor()))


def test_a_value_that_could_overflow_its_slot_is_not_contributed() -> None:
    members = homes(6, 24)
    members[0].values[3] = 1 << 20
    with pytest.raises(PackingRefused, match="value 3"):
        members[0].contribute(announce(members), encryptor())


def test_agreements_and_openings_of_others_are_refused() -> None:
    members = homes(6, 24)
    announced = announce(members)
    collector = Collector(announced, COLLECTOR)
    present = members[:5]
    for home in present:
        collector.contribute(home.contribute(announced, encryptor()))
    contributors = collector.close()
    members[5].contribute(announced, encryptor())
    agreement = members[0].household.agree(contributors, members[0].contribution)
    forgeries = [
        (replace(agreement, index=1), Fault.BAD_SIGNATURE),
        (replace(agreement, index=5).signed(members[5].secret.signing_seed), Fault.UNKNOWN_METER),
        (
            replace(agreement, contributors=bytes(32)).signed(members[0].secret.signing_seed),
            Fault.OTHER_SET,
        ),
    ]
    for forged, fault in forgeries:
        with pytest.raises(ContributionRefused) as refused:
            collector.agree(forged.encode())
        assert refused.value.fault is fault
    with pytest.raises(RoundRefused, match="not every contributor"):
        collector.agreements  # noqa: B018
    with pytest.raises(RoundRefused, match="waits for"):
        collector.batch()
    finish(collector, present)
    assert decrypt_sum(announced, collector.batch(), private_key()).values == plain_sum(present)


# --- Who dropped out ----------------------------------------------------------------------------


def test_a_household_is_not_opened_by_calling_it_a_drop_out() -> None:
    """The concentrator has everybody's contribution, and tells that home 0 dropped out.

    All others show their pairs' keys with it. What is left on it is its self mask, whose seed it
    would show for a set with itself only, and it agrees to none without.
    """
    members = homes(6, 24)
    announced = announce(members)
    collector, victim, others = Collector(announced, COLLECTOR), members[0], members[1:]
    stolen = Contribution.decode(victim.contribute(announced, encryptor()))
    for home in others:
        collector.contribute(home.contribute(announced, encryptor()))
    finish(collector, others)
    batch = collector.batch()
    assert decrypt_sum(announced, batch, private_key()).values == plain_sum(others)
    # What the concentrator and the operator can do to it together:
    layout = announced.terms.layout
    count = layout.limb_count(24)
    rows = [int.from_bytes(stolen.ciphertexts[a : a + 256], "big") for a in range(0, 512, 256)]
    masked = layout.limbs_in(private_key().decrypt_many(rows), count, 1)
    keys = [(-1 if opening.index < 0 else 1, opening.dropped_keys[0]) for opening in batch.openings]
    pairs = sum_pair_masks(keys, count)[1:]
    left = [(y - mask) % ORDER for y, mask in zip(masked, pairs, strict=True)]
    limbs = layout.limbs_of(victim.values)
    seed = victim.secret.mask_seed(announced.digest)
    own = self_masks(seed, count)
    assert left == [(v + mask) % ORDER for v, mask in zip(limbs, own, strict=True)]
    assert seed.hex() not in batch.encode().hex()
    with pytest.raises(RoundRefused, match="not among those"):
        victim.household.agree(batch.contributors, stolen.digest)


def test_two_sets_of_contributors_are_never_both_opened() -> None:
    """An opening needs the agreement of all in its set; nobody agrees to two (the hub's record)."""
    members = homes(7, 24)
    announced = announce(members)
    collector = collect(announced, members)
    everybody = collector.close()
    fewer = everybody.among(everybody.indexes[1:]).signed(COLLECTOR)
    household = members[1].household
    with pytest.raises(RoundRefused, match="has not agreed"):
        household.open(fewer, collector.agreements[1:], members[1].blinding)
    with pytest.raises(RoundRefused, match="not every contributor"):
        household.open(everybody, collector.agreements[:-1], members[1].blinding)
    swapped = collector.agreements[1::-1] + collector.agreements[2:]
    with pytest.raises(RoundRefused, match="has not agreed"):
        household.open(everybody, swapped, members[1].blinding)


def test_a_household_whose_contribution_was_replaced_does_not_agree() -> None:
    members = homes(6, 24)
    announced = announce(members)
    collector = collect(announced, members)
    listed = collector.close()
    forged = replace(listed, contributions=(bytes(32), *listed.contributions[1:]))
    with pytest.raises(RoundRefused, match="not among those"):
        members[0].household.agree(forged, members[0].contribution)


def test_a_roster_with_other_keys_than_were_told_is_refused() -> None:
    members = homes(6, 24)
    announced = announce(members)
    with pytest.raises(RoundRefused, match="other keys"):
        RoundHousehold(announced, 0, members[0].secret_for(bytes(32)))


# --- Messages ------------------------------------------------------------------------------------


def messages() -> list[tuple[type, bytes]]:
    members = homes(6, 24)
    announced = announce(members)
    collector = collect(announced, members, (2,))
    batch = collector.batch()
    points = members[0].household.pair_points(batch.contributors)
    contribution = collector.evidence()[0]
    return [
        (Round, announced.encode()),
        (Contribution, contribution.encode()),
        (CertifiedLoad, contribution.load.encode()),
        (Contributors, batch.contributors.encode()),
        (Opening, batch.openings[0].encode()),
        (PairPoints, points.encode()),
        (Batch, batch.encode()),
    ]


@pytest.mark.parametrize("place", range(7))
def test_any_changed_byte_is_refused_or_read_as_another_message(place: int) -> None:
    kind, data = messages()[place]
    honest = kind.decode(data)  # type: ignore[attr-defined]
    drawn = randomness(place)
    for _ in range(150):
        at = int.from_bytes(drawn(4), "big") % len(data)
        changed = data[:at] + bytes([data[at] ^ 1 << drawn(1)[0] % 8]) + data[at + 1 :]
        try:
            read = kind.decode(changed)  # type: ignore[attr-defined]
        except AggregationError:
            continue
        assert read != honest
        assert read.encode() == changed
    for bad in (data[:-1], data + b"\0", b"", b"\x80"):
        with pytest.raises(MalformedMessage):
            kind.decode(bad)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("place", "label", "old"),
    [
        (0, b"aggregation round 3", b"aggregation round 1"),
        (0, b"aggregation round 3", b"aggregation round 2"),
        (1, b"contribution 2", b"contribution 1"),
        (2, b"certified load 2", b"certified load 1"),
        (3, b"contributors 2", b"contributors 1"),
        (6, b"contributors 2", b"contributors 1"),
        (6, b"certified load 2", b"certified load 1"),
    ],
)
def test_messages_in_the_forms_of_release_0_1_are_refused(
    place: int, label: bytes, old: bytes
) -> None:
    kind, data = messages()[place]
    assert label in data
    with pytest.raises(MalformedMessage):
        kind.decode(data.replace(label, old))  # type: ignore[attr-defined]
