# SPDX-License-Identifier: Apache-2.0
"""A version goes to emulated homes over TLS, and comes back (`bench_rollout.py` has 500)."""

from pathlib import Path

import pytest

from hub.machine.machine import AppletMachine
from meterlet.fleet.faults import FaultRates
from tests.support.dialled_fleet import dialled_fleet
from tests.support.waiting import PATIENCE
from utility_server.fleet.plans import HubState, RolloutState, Waves

pytestmark = [pytest.mark.process, pytest.mark.soak]
HOMES = 12
RATES = FaultRates(drop=0.2, delay=0.05, repeat=0.05)


def test_every_home_has_one_version_or_the_other_whatever_breaks(
    tmp_path: Path, machine: AppletMachine
) -> None:
    with dialled_fleet(tmp_path, machine, HOMES) as fleet:
        [old] = fleet.in_place()
        plan = fleet.plan("0.6.0", Waves())
        fleet.rollouts.start(plan.number)

        def is_in(state: RolloutState) -> bool:
            return fleet.rollouts.find(plan.number).state is state

        fleet.dial(RATES, lambda: is_in(RolloutState.DONE), PATIENCE)
        assert fleet.states(plan.number) == {HubState.INSTALLED: HOMES}
        assert fleet.in_place() == {("0.6.0", plan.digest): HOMES}
        fleet.rollouts.roll_back(plan.number)
        fleet.dial(RATES, lambda: is_in(RolloutState.ROLLED_BACK), PATIENCE)
        assert fleet.states(plan.number) == {HubState.ROLLED_BACK: HOMES}
        assert fleet.in_place() == {old: HOMES}
