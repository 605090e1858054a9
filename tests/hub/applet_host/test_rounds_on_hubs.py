# SPDX-License-Identifier: Apache-2.0
"""Whole hubs take part in rounds: applet, machine, guard, certifier and record joined."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from hub.custody import hand_over
from hub.device import Device
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.dispute import Dispute
from protocols.aggregation.members import MemberSecret
from protocols.aggregation.messages import PairKey, PairPoints
from protocols.proofs import PointVector
from tests.support.aggregation import OPERATOR, private_key, public_of
from tests.support.hubs import NOW, Hub, about, announce, copies, package, run


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, closed_hubs: list[Hub]) -> Iterator[list[Hub]]:
    with copies(closed_hubs, tmp_path, machine) as hubs:
        yield hubs


@pytest.mark.parametrize("resolution", [15, 60, 1440])
def test_hubs_give_the_exact_sum_at_every_resolution(hubs: list[Hub], resolution: int) -> None:
    announced = announce(hubs, bytes(32), about(resolution))
    collector, _ = run(announced, hubs)
    opened = decrypt_sum(announced, collector.batch(), private_key(2048))
    plain = tuple(map(sum, zip(*(hub.values(resolution) for hub in hubs), strict=True)))
    assert opened.values == plain
    assert opened.missing_slots == 0


def test_a_hub_that_drops_out_is_left_out_of_the_sum(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    present = [hub for hub in hubs if hub is not hubs[2]]
    collector, _ = run(announced, present)
    opened = decrypt_sum(announced, collector.batch(), private_key(2048))
    assert opened.values == tuple(map(sum, zip(*(hub.values(60) for hub in present), strict=True)))


def test_the_log_says_over_how_many_homes_and_that_no_bit_of_this_one_was_told(
    hubs: list[Hub],
) -> None:
    announced = announce(hubs, bytes(32))
    run(announced, hubs)
    disclosure = hubs[0].device.disclosure
    [entry] = disclosure.log.entries("aggregate")
    assert entry.facts["group"] == 6
    assert entry.facts["bits"] == 0
    assert entry.facts["values"] == 48
    assert disclosure.releases() == []
    assert disclosure.knowledge().numbers == 0
    disclosure.log.verify()


def test_a_step_is_answered_again_as_it_was(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    first = hubs[0].take(Instruction.CONTRIBUTE, announced.encode())
    assert hubs[0].take(Instruction.CONTRIBUTE, announced.encode()) == first
    collector, contributors = run(announced, hubs)
    signatures = b"".join(collector.agreements)
    opening = collector.batch().openings[announced.index_of(hubs[0].meter)].encode()
    for _ in range(2):
        again = hubs[0].take(Instruction.OPEN, contributors.encode(), signatures)
        assert again == opening
    assert len(list(hubs[0].device.disclosure.log.entries("aggregate"))) == 1


def test_hubs_prove_ranges_in_rounds_that_ask_for_it(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32), replace(about(), are_ranges_proved=True))
    collector, _ = run(announced, hubs)
    assert all(collector.batch().range_proofs)
    opened = decrypt_sum(announced, collector.batch(), private_key(2048))
    assert opened.values == tuple(map(sum, zip(*(hub.values(60) for hub in hubs), strict=True)))


def test_hubs_settle_a_dispute_and_the_liar_is_named(hubs: list[Hub]) -> None:
    """Hub 1 opens with a wrong blinding, and then shows a wrong point for its pair with hub 0."""
    announced = announce(hubs, bytes(32))
    collector, contributors = run(announced, hubs)
    listed, liar = contributors.encode(), hubs[1]
    secret = MemberSecret(liar.device.aggregation_secret, announced.nonce)
    place = announced.index_of(liar.meter)
    batch = collector.batch()
    openings = list(batch.openings)
    openings[place] = replace(openings[place], blinding=1).signed(secret.signing_seed)
    batch = replace(batch, openings=tuple(openings))
    shown = {}
    for hub in hubs:
        points = PairPoints.decode(hub.take(Instruction.SHOW_POINTS, listed))
        if hub is liar:
            wrong = list(points.points)
            others = [index for index in contributors.indexes if index != place]
            wrong[others.index(announced.index_of(hubs[0].meter))] = points.points[-1] * 2
            points = replace(points, points=PointVector(wrong)).signed(secret.signing_seed)
        shown[announced.index_of(hub.meter)] = points
    inquiry = Dispute(announced, batch, private_key(2048))
    assert inquiry.examine_evidence(collector.evidence()) is None
    inquiry.examine_points(shown)
    [pair] = inquiry.disputes()
    assert set(pair) == {place, announced.index_of(hubs[0].meter)}
    key = hubs[0].take(Instruction.SHOW_KEY, listed, shown[place].encode())
    inquiry.settle(pair, [PairKey.decode(key)])
    inquiry.bisect()
    assert {culprit.meter for culprit in inquiry.culprits} == {liar.meter}


def test_a_hub_that_is_closed_leaves_no_applet_in_memory(hubs: list[Hub]) -> None:
    hubs[0].member(bytes(32))
    (runtime,) = hubs[0].device._runtimes
    (running,) = runtime._running.values()
    assert running.instance.is_started
    hubs[0].device.close()
    assert not running.instance.is_started


def test_a_round_about_a_former_residents_days_is_refused_by_name(
    hubs: list[Hub], machine: AppletMachine
) -> None:
    folder = hubs[0].device.folder
    hubs[0].device.close()
    hand_over(folder, now=lambda: NOW)
    device = Device.open(folder, now=lambda: NOW)
    card = device.card(machine)
    installer = Installer(device, card)
    hubs[0] = Hub(device, card, installer.install(installer.read(package()), public_of(OPERATOR)))
    announced = announce(hubs, bytes(32))
    hubs[1].take(Instruction.CONTRIBUTE, announced.encode())
    _, response = hubs[0].send(Instruction.CONTRIBUTE, announced.encode())
    assert response.sw == 0x6985
    [entry] = device.disclosure.log.entries("refusal")
    assert entry.facts["why"].startswith("custody: the custody of this meter began on 2025-03-07")
