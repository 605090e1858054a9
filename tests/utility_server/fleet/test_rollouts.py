# SPDX-License-Identifier: Apache-2.0
"""Roll-outs over a few real hubs: in waves, stopped, gone on with, rolled back, cut off."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hub.card.line import Line
from hub.machine.machine import AppletMachine
from hub.offers import (
    accept_offer,
    find_offer,
    let_manage,
    offers_of,
    refuse_offer,
)
from protocols.secure_channel.conversation import converse
from tests.support.fleet import (
    CAT,
    EVERYONE,
    Broken,
    Fleet,
    Hubs,
    Transmit,
    breaking,
    brought,
    fill,
    make_room,
    new_hubs,
)
from tests.support.soak import IS_SOAKING, sampled
from tests.support.versions import AS_BEFORE, NARROWER, WIDER, version
from utility_server.errors import RolloutRefused
from utility_server.fleet.errands import CONSENT_SECONDS, FAILED_SECONDS
from utility_server.fleet.plans import (
    HubFacts,
    HubState,
    Kind,
    RolloutState,
    Share,
    Waves,
    in_waves,
)

HUBS = 6


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Hubs:
    """Hubs that all tests share: each test leaves them with some version."""
    return new_hubs(tmp_path_factory.mktemp("hubs"), machine, HUBS)


@pytest.fixture
def town(hubs: Hubs, tmp_path: Path, database_kind: str) -> Iterator[Fleet]:
    with hubs.managed(tmp_path / "utility") as fleet:
        yield fleet


class Versions:
    """Packages of ever higher versions."""

    def __init__(self, hubs: Hubs) -> None:
        self.home = hubs.home
        self.last = 1

    def next(self, change: dict[str, str] | None = None) -> bytes:
        self.last += 1
        return version(self.home, f"0.{self.last}.0", change or AS_BEFORE)

    @property
    def name(self) -> str:
        return f"0.{self.last}"


@pytest.fixture(scope="module")
def versions(hubs: Hubs) -> Versions:
    return Versions(hubs)


def once_is_enough(database_kind: str) -> None:
    """What is said to a hub is the same on both databases: `make soak` has it on both."""
    if database_kind == "postgresql" and not IS_SOAKING:
        pytest.skip("in make soak")


def by_meter(hub: HubFacts) -> bytes:
    return hub.meter


def states(fleet: Fleet, number: int) -> Counter[HubState]:
    return Counter(hub.state for hub in fleet.rollouts.hubs(number))


def placed(fleet: Fleet) -> Counter[str]:
    return Counter(fleet.in_place(meter)[0] for meter in fleet.meters)


def test_a_version_goes_out_in_waves_and_each_answer_is_kept(
    town: Fleet, versions: Versions
) -> None:
    waves = Waves(Share(1, is_percent=False), (Share(50, is_percent=True),), rest=60)
    plan = town.plan(versions.next(), waves)
    assert (plan.state, plan.sizes) == (RolloutState.PLANNED, (1, 2, 3))
    assert town.rollouts.due_meters() == frozenset()
    town.rollouts.start(plan.number)
    for wave in (1, 2, 3):
        due = {hub.meter for hub in town.rollouts.hubs(plan.number) if hub.wave == wave}
        assert town.rollouts.due_meters() == due
        town.dial_all()
        town.clock.now += 59
        assert town.rollouts.due_meters() == frozenset()  # the rest is not over
        town.clock.now += 1
    assert town.rollouts.find(plan.number).state is RolloutState.DONE
    assert placed(town) == {versions.name: HUBS}
    for meter in town.meters:
        [answer] = town.rollouts.answers(plan.number, meter)
        assert (answer.state, answer.goal, answer.status) == (HubState.INSTALLED, "forward", 0)
        assert f"{versions.name} (" in answer.detail


def test_it_stops_where_too_many_fail_and_goes_on_when_told(
    town: Fleet, versions: Versions
) -> None:
    before = town.in_place(town.meters[0])[0]
    plan = town.plan(versions.next(), Waves(None, (), stop_at=Share(2, is_percent=False)))
    failing = [hub.meter for hub in sorted(town.rollouts.hubs(plan.number), key=by_meter)][:2]
    fill(town, *failing)
    town.rollouts.start(plan.number)
    town.dial_all()
    stopped = town.rollouts.find(plan.number)
    assert stopped.state is RolloutState.STOPPED
    assert stopped.why == "2 of 6 hubs of wave 1 have failed"
    # They dialled in order: the second failure came before anything was said to the others.
    assert states(town, plan.number) == {HubState.FAILED: 2, HubState.PLANNED: 4}
    assert placed(town) == {before: HUBS}
    assert [one.status for one in town.rollouts.answers(plan.number, failing[0])] == [0x6A84]
    town.rollouts.resume(plan.number)
    town.dial_all()  # they are tried again, and fail again
    assert town.rollouts.find(plan.number).state is RolloutState.STOPPED
    town.rollouts.resume(plan.number, leaves_failed=True)
    town.dial_all()
    assert states(town, plan.number) == {HubState.FAILED: 2, HubState.INSTALLED: 4}
    assert town.rollouts.find(plan.number).state is RolloutState.DONE
    assert placed(town) == {before: 2, versions.name: 4}
    town.rollouts.roll_back(plan.number)
    town.dial_all()
    assert town.rollouts.find(plan.number).state is RolloutState.ROLLED_BACK
    assert states(town, plan.number) == {HubState.ROLLED_BACK: 6}
    assert placed(town) == {before: HUBS}
    make_room(town, *failing)


def test_hubs_that_were_never_spoken_to_are_left_alone_when_it_is_rolled_back(
    town: Fleet, versions: Versions
) -> None:
    before = {meter: town.in_place(meter) for meter in town.meters}
    plan = town.plan(versions.next(), Waves(Share(2, is_percent=False), (), enough=100, rest=1))
    town.rollouts.start(plan.number)
    town.dial_all()
    assert states(town, plan.number) == {HubState.INSTALLED: 2, HubState.PLANNED: 4}
    town.rollouts.stop(plan.number)
    town.clock.now += 1
    assert town.rollouts.due_meters() == frozenset()
    town.rollouts.roll_back(plan.number)
    town.dial_all()
    assert states(town, plan.number) == {HubState.ROLLED_BACK: 2, HubState.NOT_BEGUN: 4}
    assert {meter: town.in_place(meter) for meter in town.meters} == before


def test_where_a_version_asks_for_more_each_hub_waits_for_its_resident(
    town: Fleet, versions: Versions, database_kind: str
) -> None:
    once_is_enough(database_kind)
    before = town.in_place(town.meters[0])[0]
    plan = town.plan(versions.next(dict(WIDER)))
    town.rollouts.start(plan.number)
    town.dial_all()
    assert states(town, plan.number) == {HubState.WAITING: HUBS}
    assert placed(town) == {before: HUBS}
    yes, no, *others = town.meters
    with town.opened(yes) as installer:
        accept_offer(installer, find_offer(installer.device, CAT))
    with town.opened(no) as installer:
        refuse_offer(installer, find_offer(installer.device, CAT))
    assert town.rollouts.due_meters() == frozenset()
    town.clock.now += CONSENT_SECONDS
    town.dial_all()
    assert states(town, plan.number) == {
        HubState.INSTALLED: 1, HubState.REFUSED: 1, HubState.WAITING: len(others),
    }  # fmt: skip
    assert town.rollouts.find(plan.number).state is RolloutState.RUNNING
    town.rollouts.roll_back(plan.number)
    town.dial_all()
    assert states(town, plan.number) == {HubState.ROLLED_BACK: HUBS}
    assert placed(town) == {before: HUBS}
    with town.opened(others[0]) as installer:
        assert offers_of(installer.device) == []  # taken back


def test_going_back_to_what_asks_for_more_waits_for_the_resident(
    town: Fleet, versions: Versions, database_kind: str
) -> None:
    once_is_enough(database_kind)
    before = town.in_place(town.meters[0])[0]
    one, *_ = town.meters
    plan = town.rollouts.plan(
        Kind.VERSION, "cat.cap", CAT, [one], EVERYONE, brought(versions.next(dict(NARROWER)))
    )
    town.rollouts.start(plan.number)
    town.dial_all()
    town.rollouts.roll_back(plan.number)
    town.dial_all()
    assert states(town, plan.number) == {HubState.BACK_WAITING: 1}
    assert town.in_place(one)[0] == versions.name
    with town.opened(one) as installer:
        accept_offer(installer, find_offer(installer.device, CAT))
    town.clock.now += CONSENT_SECONDS
    town.dial_all()
    assert states(town, plan.number) == {HubState.ROLLED_BACK: 1}
    assert town.in_place(one)[0] == before


def test_a_resident_who_allows_no_versions_keeps_the_one_there_is(
    town: Fleet, versions: Versions, database_kind: str
) -> None:
    once_is_enough(database_kind)
    before = town.in_place(town.meters[0])[0]
    one, *_ = town.meters
    with town.opened(one) as installer:
        let_manage(installer, CAT, is_allowed=False)
    plan = town.plan(versions.next())
    town.rollouts.start(plan.number)
    town.dial_all()
    assert states(town, plan.number) == {HubState.NOT_ALLOWED: 1, HubState.INSTALLED: HUBS - 1}
    assert town.in_place(one)[0] == before
    with town.opened(one) as installer:
        let_manage(installer, CAT, is_allowed=True)
    town.clock.now += 24 * 3600
    town.dial_all()
    assert town.rollouts.find(plan.number).state is RolloutState.DONE
    assert placed(town) == {versions.name: HUBS}


APDUS = 9
"""Of an errand that brings a version: select, two to authenticate, looking, announcing, loading."""
CUTS = [(at, after) for at in range(1, APDUS + 3) for after in (False, True)]
MIDST = [(5, True), (7, True)]


@pytest.mark.parametrize("cut", sampled(CUTS, MIDST))
def test_a_hub_that_is_cut_off_anywhere_has_one_version_or_the_other_and_is_finished_with(
    town: Fleet, versions: Versions, cut: tuple[int, bool], database_kind: str
) -> None:
    once_is_enough(database_kind)
    at, after = cut
    one, *_ = town.meters
    before = town.in_place(one)
    package = brought(versions.next())
    whole = versions.name, package.target.digest
    plan = town.rollouts.plan(Kind.VERSION, "cat.cap", CAT, [one], EVERYONE, package)
    town.rollouts.start(plan.number)
    for goes_back in (False, True):
        if goes_back:
            town.rollouts.roll_back(plan.number)
        try:
            town.dial(one, carrying=breaking(at, after=after))
        except Broken:
            assert states(town, plan.number) in (
                {HubState.BEGUN: 1}, {HubState.INSTALLED: 1},
            )  # fmt: skip
        assert town.in_place(one) in (before, whole)
        town.dial(one)
        assert town.in_place(one) == (before if goes_back else whole)
    assert town.rollouts.find(plan.number).state is RolloutState.ROLLED_BACK
    versions.last -= 1


@pytest.mark.parametrize("cut", sampled(CUTS[:14], [(6, True)]))
def test_new_keys_go_out_and_a_lost_answer_locks_nobody_out(
    town: Fleet, cut: tuple[int, bool], database_kind: str
) -> None:
    once_is_enough(database_kind)
    at, after = cut
    one, *_ = town.meters
    old = town.utility.customers.find(one, CAT)
    plan = town.rollouts.plan(Kind.KEYS, "new keys", CAT, [one], EVERYONE)
    town.rollouts.start(plan.number)
    with suppress(Broken):
        town.dial(one, carrying=breaking(at, after=after))
    town.dial(one)
    new = town.utility.customers.find(one, CAT)
    assert new.keys != old.keys
    assert states(town, plan.number) == {HubState.INSTALLED: 1}
    with pytest.raises(RolloutRefused, match="keys cannot be rolled back"):
        town.rollouts.roll_back(plan.number)
    look = town.rollouts.plan(
        Kind.LOOK, "look", CAT, [one], EVERYONE, package_aid=CAT[:4] + b"\xe0" + CAT[4:]
    )
    town.rollouts.start(look.number)
    assert town.dial(one) == 1  # with the new keys
    assert states(town, look.number) == {HubState.INSTALLED: 1}


def test_what_may_pass_is_tried_again_and_what_may_not_is_not(town: Fleet) -> None:
    one, *_ = town.meters
    plan = town.rollouts.plan(Kind.LOOK, "look", CAT, [one], EVERYONE, package_aid=b"\xf0" * 8)
    town.rollouts.start(plan.number)
    town.dial(one)
    assert [a.status for a in town.rollouts.answers(plan.number, one)] == [0x6A88]  # no package
    assert states(town, plan.number) == {HubState.FAILED: 1}
    plan = town.rollouts.plan(
        Kind.LOOK, "look", CAT, [one], EVERYONE, package_aid=CAT[:4] + b"\xe0" + CAT[4:]
    )
    town.rollouts.start(plan.number)

    def deaf(_transmit: Transmit) -> Transmit:
        return lambda raw: b"\x6f\x00"

    for count in (1, 2, 3):
        assert town.dial(one, carrying=deaf) == 1
        assert len(town.rollouts.answers(plan.number, one)) == count
        assert town.dial(one) == 0  # not before some time has gone by
        town.clock.now += FAILED_SECONDS
    assert states(town, plan.number) == {HubState.FAILED: 1}


def test_an_older_version_is_planned_by_nobody_and_only_the_last_goes_back(
    town: Fleet, versions: Versions
) -> None:
    old = versions.next()
    first = town.plan(old)
    town.rollouts.start(first.number)
    with pytest.raises(RolloutRefused, match="no older than"):
        town.plan(old)
    second = town.plan(versions.next())
    town.rollouts.start(second.number)
    assert town.rollouts.find(first.number).state is RolloutState.SUPERSEDED
    for refused in (first, second):
        with pytest.raises(RolloutRefused, match="cannot be"):
            town.rollouts.start(refused.number)
    with pytest.raises(RolloutRefused, match="cannot be rolled back"):
        town.rollouts.roll_back(first.number)
    town.dial(town.meters[0])
    town.rollouts.roll_back(second.number)
    third = town.plan(versions.next())
    with pytest.raises(RolloutRefused, match="being rolled back"):
        town.rollouts.start(third.number)
    town.dial_all()
    town.rollouts.start(third.number)
    town.dial_all()
    assert placed(town) == {versions.name: HUBS}


def test_a_hub_that_was_told_to_wait_meanwhile_is_not_begun(
    town: Fleet, versions: Versions
) -> None:
    plan = town.plan(versions.next())
    town.rollouts.start(plan.number)
    one, *others = town.meters
    [due] = town.rollouts.due(one)
    town.rollouts.stop(plan.number)
    assert not town.rollouts.begin(due)
    assert states(town, plan.number) == {HubState.PLANNED: HUBS}
    town.rollouts.resume(plan.number)
    errands = town.errands()
    errands.refresh()
    errand = errands.next(one)
    assert errand is not None
    town.rollouts.roll_back(plan.number)  # while the gateway speaks to it
    with town.opened(one) as installer:
        connection = installer.card.connect(Line.DIALLED)
        converse(errand, connection.transmit)
    # It has the version by now, which is kept; and it is not taken for one that went back.
    [answer] = town.rollouts.answers(plan.number, one)
    assert (answer.state, answer.goal) == (HubState.INSTALLED, "forward")
    assert states(town, plan.number) == {HubState.BEGUN: 1, HubState.NOT_BEGUN: len(others)}
    town.dial_all()
    assert states(town, plan.number) == {HubState.ROLLED_BACK: 1, HubState.NOT_BEGUN: len(others)}


def test_waves_have_every_hub_once_and_are_mixed() -> None:
    assert Waves().sizes(500) == [5, 45, 200, 250]
    assert Waves(None, ()).sizes(3) == [3]
    assert Waves(Share(10, is_percent=False), (Share(100, is_percent=True),)).sizes(4) == [4]
    with pytest.raises(RolloutRefused, match="fewer hubs"):
        Waves(Share(10, is_percent=False), (Share(5, is_percent=False),)).sizes(20)
    meters = [number.to_bytes(2, "big") for number in range(500)]
    mixed = in_waves(meters, [5, 45, 200, 250], b"seed")
    assert sorted(meter for _, meter in mixed) == meters
    assert Counter(wave for wave, _ in mixed) == {1: 5, 2: 45, 3: 200, 4: 250}
    assert [meter for _, meter in mixed] != meters
    for wrong in ("0", "101%", "5 %", "-1", "1e3", "٣", ""):
        with pytest.raises(RolloutRefused):
            Share.parse(wrong)
