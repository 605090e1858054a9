# SPDX-License-Identifier: Apache-2.0
"""Emulated hubs are woken as hubs are: at once, and not more often."""

import asyncio
import threading
import time
from pathlib import Path

from click.testing import CliRunner

from hub.dialling.wake_calls import AT_ONCE
from meterlet.commands.main import main
from meterlet.fleet.listening import MOST_IN_A_PROCESS, AwaitedCalls
from tests.support.waiting import PATIENCE


def test_a_call_from_another_thread_ends_the_wait_and_counts_as_a_hub_s() -> None:
    async def wait() -> list[bool]:
        calls = AwaitedCalls(asyncio.get_running_loop())
        taken = []
        for _ in range(AT_ONCE):
            threading.Thread(target=calls.call).start()
            began = time.monotonic()
            await calls.wait_until_called(PATIENCE)
            assert time.monotonic() - began < PATIENCE
            taken.append(calls.take())
        calls.call()  # one too many
        await calls.wait_until_called(0.05)
        return [*taken, calls.take()]

    assert asyncio.run(wait()) == [True] * AT_ONCE + [False]


def test_a_call_after_the_end_of_the_loop_is_no_error() -> None:
    async def make() -> AwaitedCalls:
        return AwaitedCalls(asyncio.get_running_loop())

    assert asyncio.run(make()).call()


def test_more_hubs_than_can_listen_in_a_process_are_refused(tmp_path: Path) -> None:
    homes = str(2 * MOST_IN_A_PROCESS + 1)
    place = "--folder", str(tmp_path / "homes"), "--wake", "mqtts://localhost:1"
    done = CliRunner().invoke(main, ["fleet", "--homes", homes, "--processes", "2", *place])
    assert done.exit_code == 2
    assert "--processes" in done.output
    assert not list(tmp_path.iterdir())
