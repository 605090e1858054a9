# SPDX-License-Identifier: Apache-2.0
"""A version rolled out to many homes that dial over TLS, of which one in twenty has no room for it.

    python benchmarks/bench_rollout.py [--homes N] [--drop SHARE]

It stops where told, goes on, is rolled back; each home's own disk is looked at each time. What is
measured is the CPU time of the gateway's process, TLS, secure channel and database included, next
to that of a poll with nothing to do (`bench_gateway.py`).
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from hub.machine.machine import AppletMachine
from meterlet.fleet.faults import FaultRates
from tests.support.dialled_fleet import DialledFleet, Dialling, dialled_fleet
from utility_server.fleet.plans import HubState, RolloutState, Share, Waves

PATIENCE_SECONDS = 3600.0


def run(homes: int, drop: float) -> None:
    """Roll out, stop, resume and roll back; print what each took."""
    rates = FaultRates(drop=drop, delay=0.01 if drop else 0.0, repeat=0.01 if drop else 0.0)
    failing = max(1, homes // 20)
    with (
        tempfile.TemporaryDirectory() as folder,
        dialled_fleet(Path(folder), AppletMachine.open(), homes) as fleet,
    ):
        [old] = fleet.in_place()
        waves = Waves(
            Share(2, is_percent=True), (Share(20, is_percent=True),),
            stop_at=Share(failing, is_percent=False), enough=100,
        )  # fmt: skip
        plan = fleet.plan("0.6.0", waves)
        last = [one.meter for one in fleet.rollouts.hubs(plan.number) if one.wave == 3]
        by_meter = {fleet.meter(number): number for number in range(1, homes + 1)}
        fleet.fill(by_meter[meter] for meter in sorted(last)[:failing])
        fleet.rollouts.start(plan.number)

        def is_in(*states: RolloutState) -> bool:
            return fleet.rollouts.find(plan.number).state in states

        def dialled(name: str, *states: RolloutState) -> None:
            dialling = fleet.dial(rates, lambda: is_in(*states), PATIENCE_SECONDS)
            told(name, fleet, plan.number, dialling)

        dialled("until it stops", RolloutState.STOPPED, RolloutState.DONE)
        assert is_in(RolloutState.STOPPED)
        places = fleet.in_place()
        assert set(places) <= {old, ("0.6.0", plan.digest)}, places
        fleet.rollouts.resume(plan.number, leaves_failed=True)
        dialled("resumed", RolloutState.DONE)
        places = fleet.in_place()
        assert places == Counter({("0.6.0", plan.digest): homes - failing, old: failing}), places
        fleet.rollouts.roll_back(plan.number)
        dialled("rolled back", RolloutState.ROLLED_BACK)
        assert fleet.in_place() == Counter({old: homes})
        assert fleet.states(plan.number) == Counter({HubState.ROLLED_BACK: homes})
        print(f"all {homes} homes run the version from before, and each was looked at")


def told(name: str, fleet: DialledFleet, number: int, dialling: Dialling) -> None:
    """Print what a part took."""
    answers = sum(
        len(fleet.rollouts.answers(number, hub.meter)) for hub in fleet.rollouts.hubs(number)
    )
    posts, working = dialling.total("posts"), dialling.total("working_posts")
    states = ", ".join(f"{count} {state}" for state, count in fleet.states(number).items())
    print(f"{name}: {states}")
    print(
        f"  {dialling.seconds:.0f} s, {posts} POSTs, {working} of them in sessions with work,"
        f" {dialling.total('sessions')} sessions, {dialling.dropped} connections cut"
    )
    print(f"  gateway {dialling.gateway_cpu:.1f} s CPU; {answers} answers so far", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--homes", type=int, default=500)
    parser.add_argument("--drop", type=float, default=0.1)
    options = parser.parse_args()
    run(options.homes, options.drop)
