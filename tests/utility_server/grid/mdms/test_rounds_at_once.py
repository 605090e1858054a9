# SPDX-License-Identifier: Apache-2.0
"""Rounds of several regions at a time, opened in other processes: the same sums, none lost."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols.aggregation.decryption import RegionSum
from protocols.aggregation.errors import SumRefused
from protocols.aggregation.round import Round
from tests.support.aggregation import (
    AUTHORITY,
    COLLECTOR_KEY,
    DAY,
    REGISTER,
    Home,
    plain_sum,
    private_key,
    public_of,
)
from tests.support.mdms import new_mdms
from tests.support.ray import on_ray
from tests.support.stand_in import ASKER, SERVER, StandIn, asking, listed, listening, running
from tests.support.waiting import PATIENCE
from utility_server.errors import StoreError
from utility_server.fan_out import FanOut, InProcesses, InThreads
from utility_server.grid.concentrator.service import Concentrator
from utility_server.grid.mdms.control_socket import (
    SOCKET,
    MdmsServer,
    PinnedPeer,
    Request,
    ask,
)
from utility_server.grid.mdms.opening import Opener, open_batch
from utility_server.keys import write_secret

REGIONS = ("North/1", "North/2", "North/3")
NOW = 1_362_000_000

pytestmark = [pytest.mark.process, pytest.mark.sqlite_file]


def request(region: str) -> Request:
    return Request(region, REGISTER, DAY, "Europe/London", 60, 20)


@dataclass
class Town:
    """An MDMS's folder, a concentrator, and stand-in hubs of three regions."""

    folder: Path
    concentrator: PinnedPeer
    homes: list[Home]

    def expected(self, region: str) -> list[int]:
        return list(plain_sum([home for home in self.homes if home.region == region]))

    @contextmanager
    def serving(self, rounds_at_once: int, opener: Opener | None = None) -> Iterator[None]:
        """Serve as `MdmsServer.serve` does, in a thread of this process."""
        server = MdmsServer(self.folder, self.concentrator, None, rounds_at_once, opener)
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self.folder / SOCKET))
            door.listen()

            def serve() -> None:
                with suppress(OSError):  # the door is shut
                    server._serve_several(door)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield
            finally:
                door.shutdown(socket.SHUT_RDWR)
                thread.join()
                (self.folder / SOCKET).unlink()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    homes = [
        Home(number, [100 * number + hour for hour in range(24)], REGIONS[number % len(REGIONS)])
        for number in range(len(REGIONS) * 5)
    ]
    hubs, folder = [StandIn(home) for home in homes], tmp_path / "mdms"
    with ExitStack() as stack:
        with new_mdms(folder, Ed25519PublicKey.from_public_bytes(public_of(AUTHORITY))) as mdms:
            for home in homes:
                mdms.members.admit(home.member().certificate.encode())
        for name, key in (
            ("paillier.key", private_key().encode()),  # a short one, which hubs here know
            ("signing.key", ASKER.private_bytes_raw()),
        ):
            (folder / "keys" / name).unlink()
            write_secret(folder / "keys" / name, key)
        addresses = stack.enter_context(listening(hubs))
        concentrator = Concentrator(
            listed(tmp_path / "hubs.json", hubs, addresses),
            ASKER.public_key().public_bytes_raw(), asking(), SERVER,
        )  # fmt: skip
        stack.callback(concentrator.hubs.close)
        address = stack.enter_context(running(concentrator))
        yield Town(folder, PinnedPeer(address, COLLECTOR_KEY), homes)


def outcome(town: Town, region: str) -> dict[str, Any]:
    *_, facts = ask(town.folder, request(region))
    assert isinstance(facts, dict)
    return facts


@pytest.mark.parametrize("make", [lambda: InProcesses(2), on_ray], ids=["processes", "ray"])
def test_sums_that_other_processes_open_are_those_of_the_homes(
    town: Town, make: Callable[[], FanOut]
) -> None:
    opened = list[bytes]()
    with make().staying() as do:

        def opener(announced: Round, batch: bytes) -> RegionSum:
            found = do(partial(open_batch, town.folder), (announced.encode(), batch))
            opened.append(announced.digest)
            return found

        with town.serving(3, opener):
            together = list(InThreads(3).run(partial(outcome, town), REGIONS))
    assert [one["region"] for one in together] == list(REGIONS)
    for region, facts in zip(REGIONS, together, strict=True):
        assert facts["sums_wh"] == town.expected(region)
        assert facts["homes"] == 5
    assert sorted(opened) == sorted(bytes.fromhex(one["round"]) for one in together)


def test_what_another_process_cannot_open_is_opened_here(town: Town) -> None:
    def opener(_announced: Round, _batch: bytes) -> RegionSum:
        raise SumRefused("as a process says that has another key")

    with town.serving(1, opener):
        *said, facts = ask(town.folder, request(REGIONS[0]))
    assert isinstance(facts, dict)
    assert facts["sums_wh"] == town.expected(REGIONS[0])
    assert "opened here once more: as a process says that has another key" in said


def test_rounds_of_one_region_follow_each_other_and_those_of_others_do_not_wait(
    tmp_path: Path,
) -> None:
    with new_mdms(tmp_path / "mdms"):
        pass
    town = Town(tmp_path / "mdms", PinnedPeer(None, b""), [])  # type: ignore[arg-type]
    met, lock, now_running = threading.Barrier(2), threading.Lock(), list[str]()

    def run(_self: MdmsServer, request: Request, _say: Any) -> dict[str, Any]:
        with lock:
            assert request.region not in now_running
            now_running.append(request.region)
        met.wait(PATIENCE)  # with one of another region, or never
        with lock:
            now_running.remove(request.region)
        return {"region": request.region}

    regions = ("a", "a", "b", "b")
    with patch.object(MdmsServer, "_run", run), town.serving(4):
        found = list(InThreads(4).run(partial(outcome, town), regions))
    assert [one["region"] for one in found] == list(regions)


def test_a_key_that_is_split_is_opened_nowhere_else(town: Town) -> None:
    (town.folder / "keys" / "paillier.share").write_bytes(b"")
    with pytest.raises(StoreError):
        open_batch(town.folder, (b"", b""))
