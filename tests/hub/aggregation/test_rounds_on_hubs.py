# SPDX-License-Identifier: Apache-2.0
"""Whole hubs take part in rounds: applet, machine, guard, certifier and record joined."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from hub.machine import AppletMachine
from protocols.aggregation import open_sum
from tests.hub.aggregation.hubs import Hub, about, announce, make_hub, package, run
from tests.protocols.aggregation.homes import private_key


@pytest.fixture(scope="module")
def cap() -> bytes:
    return package()


@pytest.fixture
def hubs(tmp_path: Path, machine: AppletMachine, cap: bytes) -> Iterator[list[Hub]]:
    made = [make_hub(tmp_path / str(number), number, machine, cap) for number in range(6)]
    yield made
    for hub in made:
        hub.device.close()


@pytest.mark.parametrize("resolution", [15, 60, 1440])
def test_hubs_give_the_exact_sum_at_every_resolution(hubs: list[Hub], resolution: int) -> None:
    announced = announce(hubs, bytes(32), about(resolution))
    collector, _ = run(announced, hubs)
    opened = open_sum(announced, collector.batch(), private_key())
    plain = tuple(map(sum, zip(*(hub.values(resolution) for hub in hubs), strict=True)))
    assert opened.values == plain
    assert opened.missing_slots == 0


def test_a_hub_that_drops_out_is_left_out_of_the_sum(hubs: list[Hub]) -> None:
    announced = announce(hubs, bytes(32))
    present = [hub for hub in hubs if hub is not hubs[2]]
    collector, _ = run(announced, present)
    opened = open_sum(announced, collector.batch(), private_key())
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
    assert disclosure.knowledge().rank == 0
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
