# SPDX-License-Identifier: Apache-2.0
"""What concentrators, homes and strangers try with a round, over real sockets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.aggregation.messages import Instruction
from meterlet.demo.dishonest_concentrator import COLLECTORS
from protocols.aggregation.collector import Batch, Collector
from protocols.aggregation.dispute import CONCENTRATOR
from protocols.aggregation.messages import Contribution, Contributors
from protocols.aggregation.paillier import Encryptor
from protocols.aggregation.partial_decryption import PartialDecryption
from protocols.aggregation.round import Round
from tests.support.aggregation import (
    COLLECTOR_KEY,
    NONCE,
    Home,
    collect,
    public_of,
)
from tests.support.region import Region, built
from tests.support.stand_in import StandIn, line_to, running
from utility_server.errors import CannotVerify
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.trustee import Trustee


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        yield region


# What a concentrator may try (meterlet.demo.dishonest_concentrator).


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
        assert region.workspace.store.spans() == []


def test_a_concentrator_that_names_few_contributors_gets_no_agreement(tmp_path: Path) -> None:
    with built(tmp_path, COLLECTORS["peek"]) as region:
        outcome = region.run()
        assert "void" in outcome.void
        assert outcome.aggregate is None
        # Those named would agree, were it not for the rule that each real hub enforces; those
        # that are not named do not.
        unnamed = {hub.home.meter for hub in region.hubs[2:]}
        assert {one.meter for one in outcome.absent} == unnamed


def test_a_concentrator_that_does_not_sign_its_list_is_named(tmp_path: Path) -> None:
    """Real hubs agree to no such list; should they, the MDMS takes it for nobody's."""

    class Silent(Collector):
        def sign(self, listed: Contributors) -> Contributors:
            return listed

    with built(tmp_path, Silent) as region:
        outcome = region.run()
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert "not signed by who collects the round" in outcome.culprits[0].reason
        assert outcome.aggregate is None


def test_a_round_for_another_concentrator_is_not_collected(region: Region) -> None:
    region.concentrator.signing = Ed25519PrivateKey.from_private_bytes(bytes([8] * 32))
    with pytest.raises(ConcentratorRefused, match="by another concentrator"):
        region.run()


def test_a_concentrator_that_alters_product_and_evidence_is_named(tmp_path: Path) -> None:
    def another(self: Collector) -> tuple[Contribution, ...]:
        _, *others = Collector.evidence(self)
        return (others[0], *others)

    liar = type("Liar", (COLLECTORS["alter"],), {"evidence": another})
    with built(tmp_path, liar) as region:
        outcome = region.run()
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert outcome.aggregate is None


def encrypt_otherwise(liar: StandIn) -> None:
    """Let a home encrypt half of what its certifier has signed."""
    certified, contribute = list(liar.home.values), liar.home.contribute

    def lie(announced: Round, crypt: Encryptor) -> bytes:
        home = liar.home
        contribute(announced, crypt)
        limbs = announced.terms.layout.limbs_of([value // 2 for value in certified])
        made = home.household.contribute(limbs, home.load, crypt, bytes, home.blinding)
        home.contribution = made.digest
        return made.encode()

    liar.home.contribute = lie  # type: ignore[method-assign]


def open_otherwise(liar: StandIn) -> None:
    """Let a home open another blinding than its certifier's."""
    answer = liar.answer

    def lie(step: Instruction, parts: Sequence[bytes]) -> bytes:
        if step is Instruction.OPEN:
            liar.home.blinding += 1
        return answer(step, parts)

    liar.answer = lie  # type: ignore[method-assign]


@pytest.mark.parametrize("key", ["whole", "split"])
@pytest.mark.parametrize("lie", [encrypt_otherwise, open_otherwise])
def test_a_home_that_contributes_what_was_not_certified_is_named(
    region: Region, lie: Callable[[StandIn], None], key: str
) -> None:
    liar = region.hubs[3]
    lie(liar)
    outcome = region.run(trustee=region.split() if key == "split" else None)
    assert outcome.aggregate is None
    assert [one.meter for one in outcome.culprits] == [liar.home.meter]
    assert not outcome.silent
    assert region.workspace.store.spans() == []


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


def test_a_trustee_that_answers_wrongly_has_nobody_blamed(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustee, n = region.split(), region.workspace.paillier.public_key.modulus
    open_otherwise(region.hubs[3])
    honest = trustee._part_of_dispute

    def part(about: bytes, places: bytes) -> bytes:
        halves = PartialDecryption.decode(honest(about, places), trustee.share.public_key)
        values = tuple(half * (1 + n) % n**2 for half in halves.values)
        return replace(halves, values=values).encode(trustee.share.public_key)

    monkeypatch.setattr(Trustee, "_part_of_dispute", lambda _, about, places: part(about, places))
    outcome = region.run(trustee=trustee)
    assert outcome.aggregate is None
    assert not outcome.culprits


@pytest.mark.parametrize(
    "flaw", ["nobody", "one short", "of others", "unsigned", "contribution", "group", "operator"]
)
def test_a_trustee_opens_no_part_of_a_sum_that_not_all_dispute(region: Region, flaw: str) -> None:
    trustee = region.split()
    members = [hub.home for hub in region.hubs]
    announced, collector = disputable(region, members)
    contributors = collector.close()
    contributions = [one.encode() for one in collector.evidence()]
    points = [home.household.pair_points(contributors) for home in members]
    match flaw:
        case "one short":
            points.pop()
        case "of others":
            other, _ = disputable(region, members[:-1])
            points[0] = replace(points[0], round=other.digest)
        case "unsigned":
            points[2] = replace(points[2], signature=points[3].signature)
        case "contribution":
            contributions[1], contributions[2] = contributions[2], contributions[1]
        case "group":
            trustee.smallest_group = 8
        case "operator":
            trustee.operator = public_of(bytes(32))
    evidence = contributions + [one.encode() for one in points]
    with running(trustee) as address, line_to(address) as line:
        if flaw != "nobody":
            with pytest.raises(ConcentratorRefused):
                list(line.ask("dispute", announced.encode(), contributors.encode(), *evidence))
        with pytest.raises(ConcentratorRefused, match="no dispute"):
            list(line.ask("part", announced.digest, b"\0\0"))


@pytest.mark.parametrize("places", [b"", b"\0", b"\0\1\0\0", b"\0\1\0\1", b"\0\7", b"\0" * 7])
def test_a_trustee_opens_no_part_that_is_none(region: Region, places: bytes) -> None:
    trustee = region.split()
    members = [hub.home for hub in region.hubs]
    announced, collector = disputable(region, members)
    contributors = collector.close()
    evidence = [one.encode() for one in collector.evidence()]
    evidence += [home.household.pair_points(contributors).encode() for home in members]
    with running(trustee) as address, line_to(address) as line:
        list(line.ask("dispute", announced.encode(), contributors.encode(), *evidence))
        assert [name for name, _ in line.ask("part", announced.digest, b"\0\1\0\6")] == [
            "halves", "done",
        ]  # fmt: skip
        with pytest.raises(ConcentratorRefused, match="place"):
            list(line.ask("part", announced.digest, places))


def disputable(region: Region, members: Sequence[Home]) -> tuple[Round, Collector]:
    announced = Round.announce(
        region.terms, NONCE, 1_362_003_600, COLLECTOR_KEY,
        tuple(home.member() for home in members),
        region.workspace.signing.private_bytes_raw(),
    )  # fmt: skip
    return announced, collect(announced, members)


@pytest.mark.parametrize("flaw", ["group", "operator", "authority", "product", "again"])
def test_a_trustee_helps_to_open_nothing_but_one_sum_of_a_real_group(
    region: Region, flaw: str
) -> None:
    trustee = region.split()
    members = [hub.home for hub in region.hubs]
    announced, collector = disputable(region, members)
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
    with running(trustee) as address, line_to(address) as line:
        if flaw == "again":
            first = line.ask("halves", announced.encode(), products, *contributions)
            assert [name for name, _ in first] == ["halves", "done"]
            six = collect(announced, members, {6})
            products, contributions = six.batch().products, [c.encode() for c in six.evidence()]
        with pytest.raises(ConcentratorRefused):
            list(line.ask("halves", announced.encode(), products, *contributions))
