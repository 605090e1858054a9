# SPDX-License-Identifier: Apache-2.0
"""For which steps of a round a hub is woken: those that it would not come for soon by itself."""

import asyncio
from typing import cast

import pytest

from utility_server.concentrator_gateway import round_wakes
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.waking import AGAIN_SECONDS
from utility_server.grid.concentrator.dialled import DialledHubs
from utility_server.grid.concentrator.hubs import Answer, Hub
from utility_server.grid.concentrator.round_commands import Question

pytestmark = pytest.mark.one_database
ONE, TWO = b"\x01", b"\x02"


class Authority:
    """Knows the time, and whose certificate counts."""

    def __init__(self) -> None:
        self.time, self.counting = 1_000, {ONE, TWO}

    def now(self) -> int:
        return self.time

    def who_may_dial(self, meters: set[bytes]) -> set[bytes]:
        return self.counting & set(meters)


async def one_step(dialled: DialledHubs, meters: tuple[bytes, ...]) -> list[Answer]:
    hubs = [Hub(meter, "North") for meter in meters]
    return [answer async for answer in dialled.ask(hubs, cast("Question", None))]


def test_a_hub_is_woken_for_a_step_and_once_more_and_not_while_it_comes_soon() -> None:
    async def run() -> None:
        clock = 0.0
        dialled = DialledHubs(timeout_seconds=600, monotonic=lambda: clock)
        authority = Authority()
        wakes = round_wakes(dialled, cast("CertificateAuthority", authority))
        assert wakes.look() == []
        first = asyncio.create_task(one_step(dialled, (ONE, TWO)))
        await asyncio.sleep(0)
        assert sorted(wakes.look()) == [ONE, TWO]
        assert wakes.look() == []
        authority.time += AGAIN_SECONDS
        authority.counting.discard(TWO)
        assert wakes.look() == [ONE]  # nobody is called whose certificates were withdrawn
        authority.time += 10 * AGAIN_SECONDS
        assert wakes.look() == []

        # Another step comes to wait behind the first: for that the hub comes in any case.
        second = asyncio.create_task(one_step(dialled, (ONE,)))
        await asyncio.sleep(0)
        assert wakes.look() == []
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        dialled._soon[ONE] = clock + 5
        assert wakes.look() == []
        clock += 5  # it was told to come soon, and has not
        assert wakes.look() == [ONE]
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert wakes.look() == []

    asyncio.run(run())
