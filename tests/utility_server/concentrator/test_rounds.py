# SPDX-License-Identifier: Apache-2.0
"""Rounds over real sockets: stand-in hubs, the concentrator's server, the MDMS's runner."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.aggregation.messages import Instruction
from cli.demo.dishonest_concentrator import COLLECTORS
from protocols.aggregation import (
    CONCENTRATOR,
    Batch,
    Collector,
    Contribution,
    PaillierPrivateKey,
    Round,
    Terms,
    split_key,
)
from tests.protocols.aggregation.homes import (
    AUTHORITY,
    NONCE,
    REGION,
    collect,
    homes,
    plain_sum,
    private_key,
    public_of,
    terms,
)
from tests.utility_server.concentrator.stand_in import StandIn, asking, listed, listening, running
from tests.utility_server.mdms.regions import new_mdms
from utility_server.concentrator import Concentrator, ConcentratorRefused, Line
from utility_server.errors import CannotVerify, StoreError
from utility_server.mdms import load_curve
from utility_server.mdms.office import Mdms
from utility_server.mdms.rounds import Outcome, RoundRunner
from utility_server.trustee import Trustee


class Region:
    """Hubs, a concentrator and an MDMS that know each other."""

    def __init__(self, office: Mdms, hubs: list[StandIn], concentrator: Concentrator) -> None:
        self.office, self.hubs, self.concentrator = office, hubs, concentrator

    @property
    def terms(self) -> Terms:
        return terms(key=self.office.paillier.public_key)

    def run(self, about: Terms | None = None, trustee: Trustee | None = None) -> Outcome:
        with ExitStack() as stack:
            address = stack.enter_context(running(self.concentrator))
            line, second = stack.enter_context(Line.open(address, 30)), None
            if trustee is not None:
                address = stack.enter_context(running(trustee))
                second = stack.enter_context(Line.open(address, 30))
            runner = RoundRunner(self.office, line, trustee=second)
            return runner.run(about or self.terms)

    def split(self) -> Trustee:
        """Split the MDMS's key; return the trustee with the other share."""
        assert isinstance(self.office.paillier, PaillierPrivateKey)
        self.office.paillier, share = split_key(self.office.paillier, os.urandom)
        operator = self.office.signing.public_key().public_bytes_raw()
        return Trustee(share, operator, (public_of(AUTHORITY),), 5)

    def expected(self, *dropped: int) -> tuple[int, ...]:
        return plain_sum([hub.home for n, hub in enumerate(self.hubs) if n not in dropped])


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        yield region


@contextmanager
def built(folder: Path, collector: Callable[[Round], Collector] = Collector) -> Iterator[Region]:
    hubs = [StandIn(home) for home in homes(7, 24)]
    authority = Ed25519PublicKey.from_public_bytes(public_of(AUTHORITY))
    with ExitStack() as stack:
        office = stack.enter_context(new_mdms(folder / "mdms", authority))
        office.paillier = private_key()  # a short one: quicker to make
        for hub in hubs:
            office.members.admit(hub.home.member().certificate.encode())
        addresses = stack.enter_context(listening(hubs))
        concentrator = Concentrator(
            listed(folder / "hubs.json", hubs, addresses),
            office.signing.public_key().public_bytes_raw(),
            asking(),
            now=lambda: 1_362_000_000,
            collector=collector,
        )
        office.now = lambda: 1_362_000_000
        stack.callback(concentrator.hubs.close)
        yield Region(office, hubs, concentrator)


def test_the_sum_of_a_round_is_the_plain_sum_and_is_stored(region: Region) -> None:
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected()
    assert load_curve(region.office.store, REGION).uses_wh == region.expected()
    assert outcome.meters == tuple(hub.home.meter for hub in region.hubs)
    assert not outcome.absent + outcome.refused + outcome.culprits
    assert outcome.received > 7 * 500


def test_the_concentrator_forgets_a_round_that_is_over(region: Region) -> None:
    region.run()
    with running(region.concentrator) as address, Line.open(address, 10) as line:
        (_, status), _ = line.ask("status")
    assert status[:4] == (0, 0, 21, 0)


def test_homes_that_drop_out_are_left_out_and_told(region: Region) -> None:
    region.hubs[2].silent = {Instruction.CONTRIBUTE}
    region.hubs[5].silent = set(Instruction)
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected(2, 5)
    assert {(one.meter, one.step) for one in outcome.absent} == {
        (region.hubs[2].home.meter, "contribute"),
        (region.hubs[5].home.meter, "tell keys"),
    }
    assert outcome.roster == 6


@pytest.mark.parametrize("step", [Instruction.AGREE, Instruction.OPEN])
def test_a_home_that_vanishes_once_it_is_named_voids_the_round(
    region: Region, step: Instruction
) -> None:
    region.hubs[3].silent = {step}
    outcome = region.run()
    assert "void" in outcome.void
    assert region.hubs[3].home.meter.hex() in outcome.void
    assert outcome.aggregate is None
    assert region.office.store.places() == []
    with running(region.concentrator) as address, Line.open(address, 10) as line:
        (_, status), _ = line.ask("status")
    assert status[:2] == (0, 0)


def test_a_home_that_comes_back_in_time_is_asked_again(region: Region) -> None:
    hub, answer, asked = region.hubs[3], region.hubs[3].answer, []

    def once_silent(step: Instruction, parts: Sequence[bytes]) -> bytes:
        asked.append(step)
        if step is Instruction.OPEN and asked.count(step) == 1:
            return b"?"
        return answer(step, parts)

    hub.answer = once_silent  # type: ignore[method-assign]
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected()
    assert "malformed" in outcome.refused[0].why


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (lambda data: data[:-1], "malformed"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "not signed"),
        (lambda data: b"?", "malformed"),
    ],
)
def test_a_bad_contribution_is_refused_by_name_and_counted_and_the_rest_goes_on(
    region: Region, alter: Callable[[bytes], bytes], why: str
) -> None:
    hub, answer = region.hubs[4], region.hubs[4].answer

    def lie(step: Instruction, parts: Sequence[bytes]) -> bytes:
        data = answer(step, parts)
        return alter(data) if step is Instruction.CONTRIBUTE else data

    hub.answer = lie  # type: ignore[method-assign]
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected(4)
    (refused,) = outcome.refused
    assert refused.meter == hub.home.meter
    assert why in refused.why
    assert sum(region.concentrator.traffic.refused.values()) == 1


def test_a_contribution_of_another_hub_is_counted_once(region: Region) -> None:
    copied = region.hubs[1].answer
    own = region.hubs[4].answer

    def copy(step: Instruction, parts: Sequence[bytes]) -> bytes:
        return copied(step, parts) if step is Instruction.CONTRIBUTE else own(step, parts)

    region.hubs[4].answer = copy  # type: ignore[method-assign]
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected(4)
    assert "repeated" in outcome.refused[0].why


def test_keys_that_no_authority_vouches_for_are_left_out(region: Region) -> None:
    stranger = region.hubs[6]
    stranger.home.number = 99
    path = region.concentrator.hubs_file
    path.write_text(path.read_text().replace(b"meter 00006".hex(), stranger.home.meter.hex()))
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.homes == 6
    assert outcome.refused[0].meter == stranger.home.meter


def test_a_sum_of_a_time_that_is_stored_is_not_asked_for_again(region: Region) -> None:
    region.run()
    taken = region.concentrator.traffic.taken
    with pytest.raises(StoreError, match="stored already"):
        region.run()
    assert region.concentrator.traffic.taken == taken


def test_a_round_of_one_is_none(region: Region) -> None:
    for hub in region.hubs[1:]:
        hub.silent = set(Instruction)
    with pytest.raises(CannotVerify, match="no round"):
        region.run()


def test_a_round_that_the_operator_has_not_signed_is_not_collected(region: Region) -> None:
    region.concentrator.operator = public_of(bytes(32))
    with pytest.raises(ConcentratorRefused, match="not signed by this concentrator's operator"):
        region.run()


def test_a_concentrator_with_no_room_says_so(region: Region) -> None:
    region.concentrator.most_bytes = 1000
    with pytest.raises(ConcentratorRefused, match="no room"):
        region.run()


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
