# SPDX-License-Identifier: Apache-2.0
"""A version for many hubs, of which one in twenty fails: stops where told, resumes, goes back.

500 hubs in `make soak`, and 10 of them in `make test`. One in ten connections breaks at a random
APDU, before the card has it or after.
"""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from hub.machine.machine import AppletMachine
from hub.offers import accept_offer, find_offer, let_manage
from tests.support.fleet import CAT, Broken, Fleet, breaking, fill, make_room, new_fleet
from tests.support.soak import IS_SOAKING
from tests.support.versions import WIDER, version
from utility_server.fleet.errands import CONSENT_SECONDS, FAILED_SECONDS
from utility_server.fleet.plans import HubState, RolloutState, Share, Waves

HUBS = 500 if IS_SOAKING else 10
FAILING = max(1, HUBS // 20)
APDUS = 12


class Line:
    """Lets hubs dial in any order over connections that break."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.random = fleet, Random(18)
        self.broken = 0

    def dial_all(self) -> None:
        """Let hubs dial until nothing is due for any."""
        while due := sorted(self.fleet.rollouts.due_meters()):
            self.random.shuffle(due)
            errands = self.fleet.errands()
            for meter in due:
                if self.random.random() < 0.1:
                    cut = self.random.randint(1, APDUS)
                    self.broken += 1
                    with suppress(Broken):
                        after = self.random.random() < 0.5
                        self.fleet.dial(meter, errands, breaking(cut, after=after))
                    continue  # it dials again later
                self.fleet.dial(meter, errands)
            errands.refresh()


def in_place(fleet: Fleet) -> Counter[tuple[str, bytes]]:
    """Return how many hubs run what; each is looked at on its own disk."""
    return Counter(fleet.in_place(meter) for meter in fleet.meters)


def states(fleet: Fleet, number: int) -> Counter[HubState]:
    return Counter(hub.state for hub in fleet.rollouts.hubs(number))


def test_it_stops_where_told_resumes_and_rolls_back_and_no_hub_is_in_between(
    tmp_path: Path, machine: AppletMachine, database_kind: str
) -> None:
    if database_kind == "postgresql" and not IS_SOAKING:
        pytest.skip("in make soak")
    with new_fleet(tmp_path, machine, HUBS) as fleet:
        line, rollouts = Line(fleet), fleet.rollouts
        [old] = in_place(fleet)
        one_less = Share(FAILING, is_percent=False)
        waves = Waves(Share(2, is_percent=True), (Share(20, is_percent=True),), stop_at=one_less)
        plan = fleet.plan(version(fleet.home, "0.2.0"), waves)
        last = [hub.meter for hub in rollouts.hubs(plan.number) if hub.wave == len(plan.sizes)]
        failing = sorted(last)[:FAILING]
        fill(fleet, *failing)
        rollouts.start(plan.number)

        line.dial_all()
        stopped = rollouts.find(plan.number)
        assert stopped.state is RolloutState.STOPPED
        assert stopped.why.startswith(f"{FAILING} of ")
        counts = states(fleet, plan.number)
        assert counts[HubState.FAILED] == FAILING
        new = "0.2", plan.digest
        told = in_place(fleet)
        assert set(told) <= {old, new}
        # What is known of each hub is what is on its disk, but where it was cut off last.
        assert told[new] - counts[HubState.INSTALLED] <= counts[HubState.BEGUN]

        rollouts.resume(plan.number, leaves_failed=True)
        fleet.clock.now += FAILED_SECONDS
        line.dial_all()
        assert rollouts.find(plan.number).state is RolloutState.DONE
        assert states(fleet, plan.number) == {
            HubState.INSTALLED: HUBS - FAILING, HubState.FAILED: FAILING,
        }  # fmt: skip
        assert in_place(fleet) == {new: HUBS - FAILING, old: FAILING}

        rollouts.roll_back(plan.number)
        line.dial_all()
        assert rollouts.find(plan.number).state is RolloutState.ROLLED_BACK
        assert states(fleet, plan.number) == {HubState.ROLLED_BACK: HUBS}
        assert in_place(fleet) == {old: HUBS}
        answers = [len(rollouts.answers(plan.number, meter)) for meter in fleet.meters]
        assert min(answers) >= 2  # each hub's answers, there and back, are kept
        assert line.broken >= HUBS // 20 or not IS_SOAKING


def test_each_hub_goes_its_own_way_and_all_are_told_apart(
    tmp_path: Path, machine: AppletMachine
) -> None:
    """A version that asks for more: some say yes, some are full, some allow nothing."""
    hubs = 100 if IS_SOAKING else 6
    with new_fleet(tmp_path, machine, hubs) as fleet:
        line, rollouts = Line(fleet), fleet.rollouts
        [old] = in_place(fleet)
        plan = fleet.plan(
            version(fleet.home, "0.2.0", WIDER), Waves(None, (), Share(2, is_percent=False))
        )
        full, closed, yes, *_ = fleet.meters
        fill(fleet, full)
        with fleet.opened(closed) as installer:
            let_manage(installer, CAT, is_allowed=False)
        rollouts.start(plan.number)
        line.dial_all()
        assert states(fleet, plan.number) == {
            HubState.FAILED: 1, HubState.NOT_ALLOWED: 1, HubState.WAITING: hubs - 2,
        }  # fmt: skip
        with fleet.opened(yes) as installer:
            accept_offer(installer, find_offer(installer.device, CAT))
        make_room(fleet, full)
        fleet.clock.now += CONSENT_SECONDS
        line.dial_all()
        assert states(fleet, plan.number) == {
            HubState.FAILED: 1, HubState.NOT_ALLOWED: 1, HubState.INSTALLED: 1,
            HubState.WAITING: hubs - 3,
        }  # fmt: skip
        assert in_place(fleet) == {old: hubs - 1, ("0.2", plan.digest): 1}
