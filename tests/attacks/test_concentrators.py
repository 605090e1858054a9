# SPDX-License-Identifier: Apache-2.0
"""What concentrators, homes and strangers try with a round, over real sockets."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from cli.demo.dishonest_concentrator import COLLECTORS
from protocols.aggregation import (
    CONCENTRATOR,
    Batch,
    Collector,
    Contribution,
    Round,
)
from tests.protocols.aggregation.homes import (
    NONCE,
    collect,
    public_of,
)
from tests.utility_server.concentrator.region import Region, built
from tests.utility_server.concentrator.stand_in import running
from utility_server.concentrator import ConcentratorRefused, Line
from utility_server.errors import CannotVerify


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        yield region


# What a concentrator may try (cli.demo.dishonest_concentrator).


@pytest.mark.parametrize("kind", ["drop", "repeat", "alter"])
def test_a_concentrator_that_multiplies_wrongly_is_named_and_its_evidence_opens_the_sum(
    tmp_path: Path, kind: str
) -> None:
    with built(tmp_path, COLLECTORS[kind]) as region:
        outcome = region.run()
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert "product" in outcome.culprits[0].reason
        assert outcome.aggregate is not None
        assert outcome.aggregate.sums_wh == region.expected()


@pytest.mark.parametrize("kind", ["leave-out", "swap", "split"])
def test_a_concentrator_whose_batch_does_not_hang_together_is_named(
    tmp_path: Path, kind: str
) -> None:
    with built(tmp_path, COLLECTORS[kind]) as region:
        outcome = region.run()
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert outcome.aggregate is None
        assert region.office.store.places() == []


def test_a_concentrator_that_names_few_contributors_gets_no_agreement(tmp_path: Path) -> None:
    with built(tmp_path, COLLECTORS["peek"]) as region:
        outcome = region.run()
        assert "void" in outcome.void
        assert outcome.aggregate is None
        # Those named would agree, were it not for the rule that each real hub enforces; those
        # that are not named do not.
        unnamed = {hub.home.meter for hub in region.hubs[2:]}
        assert {one.meter for one in outcome.absent} == unnamed


def test_a_concentrator_that_alters_product_and_evidence_is_named(tmp_path: Path) -> None:
    def another(self: Collector) -> tuple[Contribution, ...]:
        _, *others = Collector.evidence(self)
        return (others[0], *others)

    liar = type("Liar", (COLLECTORS["alter"],), {"evidence": another})
    with built(tmp_path, liar) as region:
        outcome = region.run()
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert outcome.aggregate is None


def test_a_home_that_encrypts_what_was_not_certified_is_named(region: Region) -> None:
    liar = region.hubs[3].home
    certified = list(liar.values)
    contribute = liar.contribute

    def lie(announced: Round, crypt: object) -> bytes:
        # What it certifies is right; what it encrypts is half of that.
        contribute(announced, crypt)  # type: ignore[arg-type]
        limbs = announced.terms.layout.limbs_of([value // 2 for value in certified])
        made = liar.household.contribute(limbs, liar.load, crypt, bytes, liar.blinding)  # type: ignore[arg-type]
        liar.contribution = made.digest
        return made.encode()

    liar.contribute = lie  # type: ignore[method-assign]
    outcome = region.run()
    assert outcome.aggregate is None
    assert [one.meter for one in outcome.culprits] == [liar.meter]
    assert not outcome.silent
    assert region.office.store.places() == []


def test_a_home_that_opens_wrongly_is_named(region: Region) -> None:
    liar, answer = region.hubs[5], region.hubs[5].answer

    def lie(step: Instruction, parts: Sequence[bytes]) -> bytes:
        if step is Instruction.OPEN:
            liar.home.blinding += 1
        return answer(step, parts)

    liar.answer = lie  # type: ignore[method-assign]
    outcome = region.run()
    assert [one.meter for one in outcome.culprits] == [liar.home.meter]


def test_a_concentrator_that_hands_out_no_batch_is_told(tmp_path: Path) -> None:
    class Liar(Collector):
        def batch(self) -> Batch:
            raise ConcentratorRefused("not today")

    with built(tmp_path, Liar) as region, pytest.raises(ConcentratorRefused, match="not today"):
        region.run()


# A split key.


def test_a_split_key_opens_the_sum_with_the_trustees_help_and_not_without(region: Region) -> None:
    trustee = region.split()
    with pytest.raises(CannotVerify, match="its trustee must help"):
        region.run()
    outcome = region.run(trustee=trustee)
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected()


def test_a_trustee_opens_nothing_for_a_cheating_concentrator_but_the_true_sum(
    tmp_path: Path,
) -> None:
    with built(tmp_path, COLLECTORS["alter"]) as region:
        outcome = region.run(trustee=region.split())
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert outcome.aggregate is not None
        assert outcome.aggregate.sums_wh == region.expected()


def test_with_a_split_key_a_lying_home_spoils_the_sum_but_nobody_is_blamed_wrongly(
    region: Region,
) -> None:
    trustee, liar = region.split(), region.hubs[3]
    answer = liar.answer

    def lie(step: Instruction, parts: Sequence[bytes]) -> bytes:
        if step is Instruction.OPEN:
            liar.home.blinding += 1
        return answer(step, parts)

    liar.answer = lie  # type: ignore[method-assign]
    outcome = region.run(trustee=trustee)
    assert outcome.aggregate is None
    assert not outcome.culprits


@pytest.mark.parametrize("flaw", ["group", "operator", "authority", "product", "again"])
def test_a_trustee_helps_to_open_nothing_but_one_sum_of_a_real_group(
    region: Region, flaw: str
) -> None:
    trustee = region.split()
    members = [hub.home for hub in region.hubs]
    announced = Round.announce(
        region.terms, NONCE, 1_400_000_000, tuple(home.member() for home in members),
        region.office.signing.private_bytes_raw(),
    )  # fmt: skip
    collector = collect(announced, members)
    contributions = [one.encode() for one in collector.evidence()]
    products = collector.batch().products
    match flaw:
        case "group":
            trustee.smallest_group = 8
        case "operator":
            trustee.operator = public_of(bytes(32))
        case "authority":
            trustee.authorities = (public_of(bytes(32)),)
        case "product":
            contributions = contributions[:-1]
    with running(trustee) as address, Line.open(address, 30) as line:
        if flaw == "again":
            first = line.ask("halves", announced.encode(), products, *contributions)
            assert [name for name, _ in first] == ["halves", "done"]
            six = collect(announced, members, {6})
            products, contributions = six.batch().products, [c.encode() for c in six.evidence()]
        with pytest.raises(ConcentratorRefused):
            list(line.ask("halves", announced.encode(), products, *contributions))
