# SPDX-License-Identifier: Apache-2.0
"""Proved ranges: an option of a round, and what even a lying certifier cannot contribute."""

from dataclasses import replace
from datetime import date

import pytest

from protocols.aggregation.collector import Collector
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import ContributionRefused, Fault, MalformedMessage, SumRefused
from protocols.aggregation.load_ranges import prove_ranges, ranges_check
from protocols.aggregation.messages import Contribution
from protocols.aggregation.packing import Layout
from protocols.aggregation.round import Round
from protocols.metrology import Period
from protocols.proofs import FalseStatement, ProofError, verify_all
from protocols.proofs.group import ORDER
from tests.support.aggregation import (
    COLLECTOR,
    Home,
    announce,
    collect,
    encryptor,
    homes,
    plain_sum,
    private_key,
    randomness,
    terms,
)

PROVED = terms(are_ranges_proved=True)


def proof_of(home: Home, announced: Round) -> bytes:
    limbs = announced.terms.layout.limbs_of(home.values)
    return prove_ranges(announced.terms, home.load, limbs, home.blinding, bytes(32))


def test_a_round_with_proved_ranges_opens_to_the_plain_sum() -> None:
    members = homes(5, 24)
    members[0].values[:3] = [(1 << 20) - 1, 0, 1]
    announced = announce(members, PROVED)
    assert Round.decode(announced.encode()) == announced
    collector = collect(announced, members)
    assert decrypt_sum(announced, collector.batch(), private_key()).values == plain_sum(members)


def certified(limbs: list[int], announced: Round, home: Home) -> tuple[Home, list[int]]:
    """Let a lying certifier sign any limbs."""
    home.contribute(announced, encryptor())
    home.load = home.certified(announced.digest, limbs)
    return home, limbs


@pytest.mark.parametrize("limb", [1 << 20, 1 << 56, 1 << 252, ORDER - 1])
def test_no_proof_of_values_beyond_their_bits_is_made_or_taken(
    limb: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = homes(5, 24)
    announced = announce(members, PROVED)
    honest = announced.terms.layout.limbs_of(members[0].values)
    own = proof_of_after_contributing(members[0], announced)
    home, limbs = certified([limb, *honest[1:]], announced, members[0])
    with pytest.raises(FalseStatement):
        prove_ranges(announced.terms, home.load, limbs, home.blinding, bytes(32))
    with pytest.raises(ProofError):
        verify_all([ranges_check(announced.terms, home.load, own, "it")])
    # A prover of its own, which proves the bits of values that fit:
    monkeypatch.setattr(Layout, "values_of", lambda *_: members[0].values)
    forged = prove_ranges(announced.terms, home.load, limbs, home.blinding, bytes(32))
    with pytest.raises(ProofError, match="the bits of the values"):
        verify_all([ranges_check(announced.terms, home.load, forged, "it")])


def proof_of_after_contributing(home: Home, announced: Round) -> bytes:
    home.contribute(announced, encryptor())
    return proof_of(home, announced)


def test_a_proof_is_bound_to_load_round_and_layout_and_to_each_of_its_bytes() -> None:
    members = homes(5, 24)
    announced = announce(members, PROVED)
    proof = proof_of_after_contributing(members[0], announced)
    verify_all([ranges_check(announced.terms, members[0].load, proof, "it")])
    members[1].contribute(announced, encryptor())
    narrower = replace(announced.terms, value_bits=19)
    for about, load in (
        (announced.terms, members[1].load),
        (announced.terms, replace(members[0].load, missing=1)),
        (narrower, members[0].load),
    ):
        with pytest.raises(ProofError):
            verify_all([ranges_check(about, load, proof, "it")])
    drawn = randomness("bytes")
    for at in (int.from_bytes(drawn(2), "big") % len(proof) for _ in range(25)):
        spoiled = proof[:at] + bytes([proof[at] ^ 4]) + proof[at + 1 :]
        with pytest.raises(ProofError):
            verify_all([ranges_check(announced.terms, members[0].load, spoiled, "it")])
    for spoiled in (proof[:-1], proof + b"\0", b""):
        with pytest.raises(ProofError):
            ranges_check(announced.terms, members[0].load, spoiled, "it")


def test_contributions_without_proof_or_with_one_too_many_are_refused_by_name() -> None:
    members = homes(5, 24)
    proved, plain = announce(members, PROVED), announce(members)
    for announced, proof in ((proved, b""), (plain, b"x")):
        made = Contribution.decode(members[0].contribute(announced, encryptor()))
        forged = replace(made, range_proof=proof).signed(members[0].secret.signing_seed)
        with pytest.raises(ContributionRefused) as refused:
            Collector(announced, COLLECTOR).contribute(forged.encode())
        assert refused.value.fault is Fault.BAD_RANGE


def test_the_operator_checks_the_ranges_again_and_names_the_meter() -> None:
    members = homes(5, 24)
    announced = announce(members, PROVED)
    batch = collect(announced, members).batch()
    proofs = (batch.range_proofs[1], *batch.range_proofs[1:])
    with pytest.raises(SumRefused, match=members[0].meter.hex()):
        decrypt_sum(announced, replace(batch, range_proofs=proofs), private_key())
    with pytest.raises(SumRefused, match="not one load"):
        decrypt_sum(announced, replace(batch, range_proofs=proofs[1:]), private_key())


def test_more_values_than_can_be_proved_in_sensible_time_are_refused() -> None:
    year = Period(date(2013, 1, 1), date(2013, 12, 31))
    with pytest.raises(MalformedMessage, match="sensible"):
        terms(resolution=15, period=year, are_ranges_proved=True)
