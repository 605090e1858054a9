# SPDX-License-Identifier: Apache-2.0
"""A settlement that is spread comes to the same, to the last bit, and is cut off without loss."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.answered_crowd import WEEK
from tests.support.ray import on_ray
from tests.support.settled_crowd import certified_crowd, hourly_index, only, settled_crowd
from utility_server.errors import HeadEndError, VerificationFailed
from utility_server.fan_out import FanOut, InProcesses, InThisProcess
from utility_server.retail import settlement
from utility_server.retail.settlement import Settlement, settle

MEMBERS = 7


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "PART", 3)


def settled(folder: Path, how: FanOut, hubs_at_once: int) -> tuple[Settlement, list[bytes], int]:
    """Settle the same homes, one of them away, one wrong; return the ledger's digests, too."""
    utility, members, hubs = settled_crowd(folder, certified_crowd(MEMBERS))
    hubs.away, hubs.wrong = only(members, 1), only(members, 4)
    told = list[int]()
    with utility:
        done = settle(
            utility, hourly_index(), WEEK, members, hubs, told.append,
            how=how, hubs_at_once=hubs_at_once,
        )  # fmt: skip
        digests = [entry.digest for entry in utility.ledger.entries()]
    assert told == list(range(1, MEMBERS + 1))
    assert hubs.at_once[1] <= hubs_at_once
    return done, digests, hubs.traffic.sent


@pytest.mark.sqlite_file
@pytest.mark.parametrize("make", [lambda: InProcesses(2), on_ray], ids=["processes", "ray"])
def test_other_processes_come_to_the_same_to_the_last_bit(
    tmp_path: Path, make: Callable[[], FanOut]
) -> None:
    how = make()
    here, digests, sent = settled(tmp_path / "here", InThisProcess(), 1)
    there, others, also_sent = settled(tmp_path / "there", how, 4)
    assert len(digests) == MEMBERS - 1  # settled or refused; of who was away there is nothing
    assert (others, also_sent) == (digests, sent)
    assert there.exact == here.exact
    assert [one.bundle.encode() for one in there.settled] == [
        one.bundle.encode() for one in here.settled
    ]
    for done in (here, there):
        assert [type(one.error) for one in done.unsettled] == [HeadEndError, VerificationFailed]
    assert [str(one.error) for one in there.unsettled] == [str(one.error) for one in here.unsettled]


def test_what_has_come_when_it_is_interrupted_is_entered(tmp_path: Path) -> None:
    utility, members, hubs = settled_crowd(tmp_path / "utility", certified_crowd(MEMBERS))
    with utility:

        def interrupted(done: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            settle(utility, hourly_index(), WEEK, members, hubs, interrupted, hubs_at_once=1)
        entered = [entry.meter for entry in utility.ledger.entries()]
        # The second was entered, and nobody was told: it may come again, but none is left out.
        assert entered[:2] == [one.meter for one in members[:2]]
        assert entered[-1] == members[2].meter
        assert len(set(entered)) == 3
