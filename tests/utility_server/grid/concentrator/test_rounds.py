# SPDX-License-Identifier: Apache-2.0
"""Rounds over real sockets: stand-in hubs, the concentrator's server, the MDMS's runner."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from tests.support.aggregation import (
    REGION,
    public_of,
)
from tests.support.region import Region, built
from tests.support.stand_in import line_to, running
from utility_server.errors import CannotVerify, StoreError
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.mdms.load_curves import load_curve


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        yield region


def test_the_sum_of_a_round_is_the_plain_sum_and_is_stored(region: Region) -> None:
    outcome = region.run()
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected()
    assert load_curve(region.workspace.store, REGION).uses_wh == region.expected()
    assert outcome.meters == tuple(hub.home.meter for hub in region.hubs)
    assert not outcome.absent + outcome.refused + outcome.culprits
    assert outcome.received > 7 * 500


def test_the_concentrator_forgets_a_round_that_is_over(region: Region) -> None:
    region.run()
    with running(region.concentrator) as address, line_to(address) as line:
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
    assert region.workspace.store.spans() == []
    with running(region.concentrator) as address, line_to(address) as line:
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
