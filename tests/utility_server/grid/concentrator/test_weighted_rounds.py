# SPDX-License-Identifier: Apache-2.0
"""Rounds with prices over real sockets: one number for the MDMS, stored and not asked for twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from protocols.aggregation.round import RoundTerms
from tests.support.region import Region, built
from tests.support.weighted_aggregation import plain_worth, weighted_terms
from utility_server.grid.concentrator.round_commands import SETTLEMENT_APPLET
from utility_server.grid.mdms.group_value import GroupValueSpan

pytestmark = pytest.mark.one_database

PRICES = [3_000 * hour - 20_000 for hour in range(24)]


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        for hub in region.hubs:
            hub.applets = {SETTLEMENT_APPLET}
        yield region


def about(region: Region, prices: list[int] = PRICES) -> RoundTerms:
    return replace(region.terms, weighting=weighted_terms(prices).weighting)


def worth(region: Region, *dropped: int) -> int:
    homes = [hub.home for place, hub in enumerate(region.hubs) if place not in dropped]
    return plain_worth(PRICES, homes)


def test_the_number_is_right_and_stored_and_no_load_curve_is(region: Region) -> None:
    outcome = region.run(about(region))
    assert outcome.group_value is not None
    assert (outcome.group_value.value, outcome.group_value.homes) == (worth(region), 7)
    assert (
        outcome.group_value.series,
        outcome.group_value.revision,
        outcome.group_value.currency,
    ) == (
        "spot",
        1,
        "EUR",
    )
    store = region.workspace.store
    assert store.find_group_value(GroupValueSpan.of(about(region))) == outcome.group_value
    assert store.spans() == []
    assert outcome.aggregate is None
    assert outcome.meters == tuple(hub.home.meter for hub in region.hubs)


def test_a_number_that_is_known_is_told_without_asking_a_hub(region: Region) -> None:
    first = region.run(about(region))
    taken = region.concentrator.traffic.taken
    again = region.run(about(region))
    assert (again.group_value, again.is_known) == (first.group_value, True)
    assert region.concentrator.traffic.taken == taken
    forced = region.run(about(region), is_again=True)
    assert forced.group_value is not None
    assert (forced.group_value.value, forced.is_known) == (worth(region), False)
    assert forced.group_value.round != first.group_value.round  # type: ignore[union-attr]
    assert (
        region.workspace.store.find_group_value(GroupValueSpan.of(about(region)))
        == forced.group_value
    )
    assert region.concentrator.traffic.taken == 2 * taken


def test_homes_that_drop_out_are_left_out_and_told(region: Region) -> None:
    region.hubs[2].silent = {Instruction.CONTRIBUTE}
    region.hubs[5].silent = set(Instruction)
    outcome = region.run(about(region))
    assert outcome.group_value is not None
    assert (outcome.group_value.value, outcome.group_value.homes) == (worth(region, 2, 5), 5)
    assert outcome.group_value.left_out == tuple(region.hubs[place].home.meter for place in (2, 5))
    assert region.run(about(region)).group_value == outcome.group_value


def test_a_split_key_opens_the_number_with_the_trustees_help(region: Region) -> None:
    trustee = region.split()
    outcome = region.run(about(region), trustee=trustee)
    assert outcome.group_value is not None
    assert outcome.group_value.value == worth(region)


def test_a_home_that_opens_wrongly_is_named_and_nothing_is_stored(region: Region) -> None:
    liar, answer = region.hubs[5], region.hubs[5].answer

    def lie(step: Instruction, parts: tuple[bytes, ...]) -> bytes:
        if step is Instruction.OPEN:
            liar.home.blinding += 1
        return answer(step, parts)

    liar.answer = lie  # type: ignore[assignment]
    outcome = region.run(about(region))
    assert [one.meter for one in outcome.culprits] == [liar.home.meter]
    assert outcome.group_value is None
    assert region.workspace.store.find_group_value(GroupValueSpan.of(about(region))) is None
