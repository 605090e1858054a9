# SPDX-License-Identifier: Apache-2.0
"""Sums weighed with prices, under attack: by operators with clever prices, concentrators, homes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from meterlet.demo.dishonest_concentrator import COLLECTORS
from protocols.aggregation.collector import Collector
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.dispute import CONCENTRATOR
from protocols.aggregation.errors import ContributionRefused, Fault
from protocols.aggregation.messages import Contribution, Contributors
from protocols.aggregation.round import Round, RoundTerms
from protocols.metrology import Period
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR,
    COLLECTOR_KEY,
    OPERATOR,
    collect,
    encryptor,
    homes,
    investigate,
    private_key,
    public_of,
)
from tests.support.aggregation import announce as announce_homes
from tests.support.hubs import MONTH, NOW, Hub, about, announce, copies, package, run
from tests.support.region import Region, built
from tests.support.weighted_aggregation import plain_worth, weighted_terms
from utility_server.grid.concentrator.round_commands import SETTLEMENT_APPLET

NOT_ALLOWED = 0x6982
NO_CONSENT = 0x6985
TOO_OFTEN = 0x6983
TOO_MUCH = 0x6A84
HOURS = 28 * 24
PRICES = [1_000 * (hour % 24) - 4_000 for hour in range(HOURS)]
DAY_PRICES = PRICES[:24]


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, settled_hubs: list[Hub]) -> Iterator[list[Hub]]:
    with copies(settled_hubs, tmp_path, machine) as hubs:
        yield hubs


def month(prices: Sequence[int] = PRICES, **other: object) -> RoundTerms:
    return weighted_terms(prices, bits=2048, resolution=60, period=MONTH, **other)


def answer(hub: Hub, step: Instruction, *parts: bytes) -> int:
    _, response = hub.send(step, *parts)
    assert response.sw == 0x9000 or response.data == b""
    return response.sw


def refusals(hub: Hub) -> list[str]:
    return [entry.facts["why"] for entry in hub.device.disclosure.log.entries("refusal")]


def contributed(announced: Round, hubs: Sequence[Hub]) -> Contributors:
    """Let hubs contribute, and return who has."""
    made = [hub.take(Instruction.CONTRIBUTE, announced.encode()) for hub in hubs]
    found = {one.index: one for one in map(Contribution.decode, made)}
    return Contributors.of(announced.digest, found).signed(COLLECTOR)


# Operators at hubs.


def test_a_consent_to_one_number_gives_no_load_curve_and_the_other_way_about(
    hubs: list[Hub], machine: AppletMachine
) -> None:
    curve = announce(hubs, bytes(32), about(period=MONTH))
    assert answer(hubs[0], Instruction.CONTRIBUTE, curve.encode()) == NOT_ALLOWED
    installer = Installer(hubs[0].device, hubs[0].card)
    enrolment = installer.install(installer.read(package()), public_of(OPERATOR))
    other = Hub(hubs[0].device, hubs[0].card, enrolment)
    weighed = announce(hubs, b"2" * 32, month())
    assert answer(other, Instruction.CONTRIBUTE, weighed.encode()) == NOT_ALLOWED
    assert answer(other, Instruction.CONTRIBUTE, curve.encode()) == 0x9000


def test_a_number_of_less_than_a_group_is_refused(hubs: list[Hub]) -> None:
    announced = announce(hubs[:4], bytes(32), month())
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == NOT_ALLOWED
    assert refusals(hubs[0]) == ["round: a group of 4, fewer than 5"]


def test_a_number_without_one_household_is_refused_whatever_the_prices(hubs: list[Hub]) -> None:
    run(announce(hubs, bytes(32), month()), hubs)
    flat = announce(hubs[1:], b"2" * 32, month([1] * HOURS))
    listed = contributed(flat, hubs[1:])
    for hub in hubs[1:]:
        assert answer(hub, Instruction.AGREE, listed.encode()) == NOT_ALLOWED
    assert "another sum of this time is over 6 households" in refusals(hubs[1])[-1]


def test_a_number_and_a_load_curve_cannot_be_subtracted_either(
    hubs: list[Hub], machine: AppletMachine
) -> None:
    """The curve goes through another applet of the same hubs; what was opened is one record."""
    run(announce(hubs, bytes(32), month()), hubs)
    others = []
    for hub in hubs[1:]:
        installer = Installer(hub.device, hub.card)
        enrolment = installer.install(installer.read(package()), public_of(OPERATOR))
        others.append(Hub(hub.device, hub.card, enrolment))
    one_day = Period(date(2025, 2, 10), date(2025, 2, 10))
    curve = announce(others, b"2" * 32, about(period=one_day))
    listed = contributed(curve, others)
    assert answer(others[0], Instruction.AGREE, listed.encode()) == NOT_ALLOWED
    assert "another sum of this time is over 6 households" in refusals(others[0])[-1]


def test_prices_that_differ_in_one_slot_tell_of_the_group_alone_and_end_with_the_third_number(
    hubs: list[Hub],
) -> None:
    bent = [price + (place == 500) for place, price in enumerate(PRICES)]
    found: list[int] = []
    for number, prices in enumerate((PRICES, bent, PRICES)):
        announced = announce(hubs, number.to_bytes(32, "big"), month(prices))
        collector, _ = run(announced, hubs)
        found += decrypt_sum(announced, collector.batch(), private_key(2048)).values
    assert found[1] - found[0] == sum(hub.values(60, MONTH)[500] for hub in hubs)
    assert found[2] == found[0]
    shifted = Period(date(2025, 2, 2), date(2025, 3, 1))
    for number, period in ((7, MONTH), (8, shifted)):
        again = announce(hubs, number.to_bytes(32, "big"), replace(month(), period=period))
        assert answer(hubs[0], Instruction.CONTRIBUTE, again.encode()) == TOO_OFTEN
        assert refusals(hubs[0])[-1].startswith("count: 3 weighed sums")


def test_rounds_that_were_begun_before_count_when_they_are_opened(hubs: list[Hub]) -> None:
    rounds = [announce(hubs, number.to_bytes(32, "big"), month()) for number in range(4)]
    last = rounds[-1]
    late = contributed(rounds[0], hubs)
    collector = Collector(last, COLLECTOR)
    for hub in hubs:
        collector.contribute(hub.take(Instruction.CONTRIBUTE, last.encode()))
    listed = collector.close()
    for hub in hubs:
        collector.agree(hub.take(Instruction.AGREE, listed.encode()))
    for announced in rounds[1:3]:
        run(announced, hubs)
    run(announce(hubs, b"4" * 32, month()), hubs)
    assert answer(hubs[0], Instruction.AGREE, late.encode()) == TOO_OFTEN
    signatures = b"".join(collector.agreements)
    for hub in hubs:
        assert answer(hub, Instruction.OPEN, listed.encode(), signatures) == TOO_OFTEN


def test_weights_that_pack_more_bits_than_the_consent_says_are_refused(hubs: list[Hub]) -> None:
    packed = [1 << 10 * (place % 4) for place in range(HOURS)]
    announced = announce(hubs, bytes(32), month(packed, value_bits=20))
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == TOO_MUCH
    assert refusals(hubs[0]) == ["size: 58 bits, the consent allows 56"]


def test_uses_that_would_run_over_their_room_are_not_contributed(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32), month(value_bits=4))
    assert max(hubs[0].values(60, MONTH)) >= 16
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == TOO_MUCH
    assert list(hubs[0].device.disclosure.log.entries("aggregate")) == []


def test_a_period_shorter_than_consented_is_refused(
    hubs: list[Hub],
) -> None:
    week = Period(date(2025, 2, 3), date(2025, 2, 9))
    short = weighted_terms([5] * 168, bits=2048, resolution=60, period=week)
    announced = announce(hubs, bytes(32), short)
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == NOT_ALLOWED


def test_without_consent_or_from_another_operator_nothing_is_contributed(hubs: list[Hub]) -> None:
    members = tuple(hub.member(bytes(32)) for hub in hubs)
    forged = Round.announce(month(), bytes(32), NOW + 900, COLLECTOR_KEY, members, AUTHORITY)
    assert answer(hubs[0], Instruction.CONTRIBUTE, forged.encode()) == NOT_ALLOWED
    disclosure = hubs[0].device.disclosure
    disclosure.revoke(disclosure.consents()[0].number)
    announced = announce(hubs, b"2" * 32, month())
    assert answer(hubs[0], Instruction.CONTRIBUTE, announced.encode()) == NO_CONSENT


def test_prices_that_are_changed_on_the_way_are_not_the_operators(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32), month())
    dearer = replace(announced, terms=month([price + 1 for price in PRICES]))
    assert answer(hubs[0], Instruction.CONTRIBUTE, dearer.encode()) == NOT_ALLOWED


# Homes and concentrators in the protocol.


def test_a_home_that_was_shown_other_prices_is_not_in_the_sum() -> None:
    """An operator who signs two rounds: masks and signatures hang on the prices."""
    members = homes(6, 24)
    announced = announce_homes(members, weighted_terms(DAY_PRICES))
    other = announce_homes(members, weighted_terms([*DAY_PRICES[:-1], 99_000]))
    assert other.digest != announced.digest
    collector = Collector(announced, COLLECTOR)
    with pytest.raises(ContributionRefused) as refused:
        collector.contribute(collect(other, members).evidence()[0].encode())
    assert refused.value.fault is Fault.OTHER_ROUND


def test_a_home_that_weighs_with_prices_of_its_own_is_named() -> None:
    """Its certifier signs the worth at the announced prices; what it encrypts is the cheaper."""
    members = homes(6, 24)
    announced = announce_homes(members, weighted_terms(DAY_PRICES))
    collector = collect(announced, members)
    evidence, liar = list(collector.evidence()), members[3]
    cheaper = replace(
        announced.terms, weighting=weighted_terms([p // 2 for p in DAY_PRICES]).weighting
    )
    limbs = announced.terms.layout.limbs_of(cheaper.contributed(liar.values))
    lie = liar.household.contribute(limbs, liar.load, encryptor(), bytes, liar.blinding)
    lying = Collector(announced, COLLECTOR)
    place = announced.index_of(liar.meter)
    for index, one in enumerate(evidence):
        lying.contribute((lie if index == place else one).encode())
    liar.contribution = lie.digest
    contributors = lying.close()
    for home in members:
        lying.agree(home.household.agree(contributors, home.contribution).encode())
    for home in members:
        opened = home.household.open(contributors, lying.agreements, home.blinding)
        lying.open(opened.encode())
    inquiry, opened_sum = investigate(announced, members, lying.batch(), lying.evidence())
    assert opened_sum is None
    assert [one.meter for one in inquiry.culprits] == [liar.meter]


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        settled(region)
        yield region


def settled(region: Region) -> RoundTerms:
    for hub in region.hubs:
        hub.applets = {SETTLEMENT_APPLET}
    return replace(region.terms, weighting=weighted_terms(DAY_PRICES).weighting)


@pytest.mark.parametrize("kind", ["drop", "repeat", "alter"])
def test_a_concentrator_that_multiplies_wrongly_is_named_and_its_evidence_opens_the_number(
    tmp_path: Path, kind: str
) -> None:
    with built(tmp_path, COLLECTORS[kind]) as region:
        outcome = region.run(settled(region))
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert outcome.group_value is not None
        assert outcome.group_value.value == plain_worth(
            DAY_PRICES, [hub.home for hub in region.hubs]
        )


@pytest.mark.parametrize("kind", ["leave-out", "swap", "split"])
def test_a_concentrator_whose_batch_does_not_hang_together_is_named(
    tmp_path: Path, kind: str
) -> None:
    with built(tmp_path, COLLECTORS[kind]) as region:
        outcome = region.run(settled(region))
        assert [one.meter for one in outcome.culprits] == [CONCENTRATOR]
        assert (outcome.group_value, outcome.aggregate) == (None, None)


def test_hubs_that_consented_to_load_curves_only_are_not_reached_for_a_number(
    region: Region,
) -> None:
    about_day = settled(region)
    for hub in region.hubs[:2]:
        hub.applets = set()
    outcome = region.run(about_day)
    assert outcome.group_value is not None
    assert outcome.group_value.value == plain_worth(
        DAY_PRICES, [hub.home for hub in region.hubs[2:]]
    )
    assert {one.meter for one in outcome.absent} == {hub.home.meter for hub in region.hubs[:2]}
