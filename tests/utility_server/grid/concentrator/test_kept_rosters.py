# SPDX-License-Identifier: Apache-2.0
"""Round after round with one roster: it is told once, and keys are asked for once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from applets.aggregation.messages import Instruction
from protocols.aggregation.revocations import Revocation, RevocationList
from protocols.aggregation.round import RoundTerms
from protocols.metrology import Period
from tests.support.aggregation import AUTHORITY, DAY, REGION, public_of
from tests.support.region import Region, built
from tests.support.stand_in import StandIn
from utility_server.grid.mdms.rosters import ROSTER_SECONDS
from utility_server.revocations import take_revocations

pytestmark = pytest.mark.one_database

CONTRIBUTE = Instruction.CONTRIBUTE


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with built(tmp_path) as region:
        yield region


def day(region: Region, number: int) -> RoundTerms:
    """Return the terms of the sum of another day."""
    first = DAY.first + timedelta(days=number)
    return replace(region.terms, period=Period(first, first))


def steps(hub: StandIn) -> list[Instruction]:
    """Return which steps a hub was asked for since this was called last."""
    asked = [request.step for request in hub.asked]
    hub.asked.clear()
    return asked


def test_later_rounds_name_the_roster_and_ask_for_no_keys(region: Region) -> None:
    first = region.run()
    traffic = region.concentrator.traffic
    in_full = traffic.sent
    for hub in region.hubs:
        assert steps(hub)[0] is Instruction.TELL_KEYS
    for number in range(1, 4):
        before = traffic.sent
        outcome = region.run(day(region, number))
        assert outcome.aggregate is not None
        assert outcome.aggregate.sums_wh == region.expected()
        assert outcome.roster == first.roster == 7
        assert traffic.sent - before < 0.75 * in_full
        for hub in region.hubs:
            assert steps(hub) == [CONTRIBUTE, Instruction.AGREE, Instruction.OPEN]
    assert all(len(hub.rosters) == 1 for hub in region.hubs)


def test_hubs_of_before_are_told_everything_and_are_in_the_same_sum(region: Region) -> None:
    for hub in region.hubs[:3]:
        hub.is_of_before = True
    region.run()
    asked = [steps(hub).count(Instruction.OPEN) for hub in region.hubs]
    assert asked == [2, 2, 2, 1, 1, 1, 1]
    outcome = region.run(day(region, 1))
    assert outcome.aggregate is not None
    assert outcome.aggregate.sums_wh == region.expected()
    # They are not told names again that they did not understand in the first round.
    old = [CONTRIBUTE, Instruction.AGREE, Instruction.OPEN]
    assert [steps(hub) for hub in region.hubs[:3]] == [old] * 3
    assert steps(region.hubs[3]) == [CONTRIBUTE, Instruction.AGREE, Instruction.OPEN]


def test_a_hub_that_has_lost_a_roster_or_a_list_is_told_it_again(region: Region) -> None:
    region.run()
    region.hubs[2].rosters.clear()
    hub, answer = region.hubs[3], region.hubs[3].answer

    def forgetful(step: Instruction, parts: Sequence[bytes]) -> bytes:
        if step is Instruction.OPEN:
            hub.listed.clear()
        return answer(step, parts)

    hub.answer = forgetful  # type: ignore[method-assign]
    outcome = region.run(day(region, 1))
    assert outcome.aggregate is not None
    assert len(outcome.meters) == 7


def test_a_concentrator_that_was_restarted_tells_everything_once_more(region: Region) -> None:
    region.run()
    region.concentrator._rosters.clear()
    assert region.run(day(region, 1)).aggregate is not None
    before = region.concentrator.traffic.sent
    assert region.run(day(region, 2)).aggregate is not None
    assert region.concentrator.traffic.sent > before


def test_a_hub_with_other_keys_is_left_out_once_and_then_asked_for_them(region: Region) -> None:
    """As one that was replaced: it does not know the secret of the keys that are kept."""
    region.run()
    hub = region.hubs[4]
    hub.silent = {CONTRIBUTE}
    outcome = region.run(day(region, 1))
    assert [absence.meter for absence in outcome.absent] == [hub.home.meter]
    hub.silent.clear()
    for each in region.hubs:
        steps(each)
    outcome = region.run(day(region, 2))
    assert len(outcome.meters) == 7
    assert steps(hub)[0] is Instruction.TELL_KEYS
    assert Instruction.TELL_KEYS not in steps(region.hubs[0])


def test_a_home_that_is_new_or_was_away_joins_the_next_round(region: Region) -> None:
    away = region.hubs[6]
    away.silent = set(Instruction)
    assert region.run().roster == 6
    assert region.run(day(region, 1)).roster == 6
    away.silent.clear()
    outcome = region.run(day(region, 2))
    assert outcome.roster == len(outcome.meters) == 7


def test_who_was_revoked_is_in_no_round_with_kept_keys(region: Region) -> None:
    region.run()
    revoked = region.hubs[1].home
    entry = Revocation(public_of(revoked.certifier), 0)
    listed = RevocationList(1, 1_362_000_000, (entry,)).signed(AUTHORITY)
    take_revocations(region.workspace.folder, region.workspace.authorities, listed.encode())
    outcome = region.run(day(region, 1))
    assert revoked.meter not in outcome.meters
    assert outcome.roster == 6
    assert "revoked" in outcome.refused[0].why


def test_keys_are_told_anew_after_their_time(region: Region) -> None:
    region.run()
    kept = region.workspace.rosters.find(REGION, weighted=False)
    assert kept is not None
    region.workspace.rosters.keep(replace(kept, made=kept.made - ROSTER_SECONDS))
    region.run(day(region, 1))
    later = region.workspace.rosters.find(REGION, weighted=False)
    assert later is not None
    assert later.nonce != kept.nonce
    assert region.workspace.rosters.find(REGION, weighted=True) is None


def test_no_two_rounds_have_one_digest_however_fast_they_follow(region: Region) -> None:
    """The clock stands still, and a round that came to nothing is run again on the same terms."""
    region.hubs[3].silent = {Instruction.AGREE}
    assert region.run().aggregate is None
    first = region.hubs[0].round
    region.hubs[3].silent = set()
    assert region.run().aggregate is not None
    second = region.hubs[0].round
    assert first is not None
    assert second is not None
    assert first.nonce == second.nonce
    assert first.digest != second.digest


def test_after_a_dispute_all_keys_are_new(region: Region) -> None:
    """In a dispute secrets are shown that go with the keys, and not with the round."""
    liar = region.hubs[2]
    answer = liar.answer

    def spoiling(step: Instruction, parts: Sequence[bytes]) -> bytes:
        if step is Instruction.OPEN:
            liar.home.blinding += 1
        return answer(step, parts)

    liar.answer = spoiling  # type: ignore[method-assign]
    outcome = region.run()
    assert [culprit.meter for culprit in outcome.culprits] == [liar.home.meter]
    assert region.workspace.rosters.find(REGION, weighted=False) is None
    liar.answer = answer  # type: ignore[method-assign]
    before = region.hubs[0].round
    assert region.run().aggregate is not None
    after = region.hubs[0].round
    assert before is not None
    assert after is not None
    assert before.nonce != after.nonce
