# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms serve` and whoever asks it, over its socket."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.command import serving
from tests.support.mdms import aggregate, new_mdms
from utility_server.errors import CannotVerify, StoreError
from utility_server.grid.concentrator.errors import LineError
from utility_server.grid.mdms.control_socket import SOCKET, MdmsServer, PinnedPeer, Request, ask
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.rpc import encode
from utility_server.head_end import Address

ROOT = Path(__file__).resolve().parents[4]
DAY = Period(date(2025, 5, 5), date(2025, 5, 5))
REGISTER = bytes.fromhex("0100010800ff")
NEXT_DAY = Period(date(2025, 5, 6), date(2025, 5, 6))
SPOT = PriceIndex(
    "spot", 1, "EUR", "EUR/MWh", "UTC",
    PriceSeries(NEXT_DAY.bounds("Europe/Berlin")[0] - 3600 * 23, 3600, tuple(range(48))),
)  # fmt: skip
NOWHERE = PinnedPeer(Address("127.0.0.1", 1), bytes(32))

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An MDMS that serves, with a day of North; its concentrator is not there."""
    folder = tmp_path_factory.mktemp("m") / "mdms"
    with new_mdms(folder) as workspace:
        workspace.store.add(aggregate(DAY.first, 1))
    options = "--concentrator", NOWHERE.address, "--concentrator-key", folder / "public.pem"
    several = "--rounds-at-once", 3, "--processes", 2
    with serving("mdms", "serve", "--mdms", folder, *options, *several) as said:
        assert said["socket"] == str(folder / SOCKET)
        yield folder
    assert not (folder / SOCKET).exists()


def request(**other: object) -> Request:
    given: dict[str, object] = {
        "region": "North",
        "register": REGISTER,
        "period": DAY,
        "zone": "Europe/Berlin",
        "resolution_minutes": 30,
        "value_bits": 20,
    }
    return Request(**{**given, **other})  # type: ignore[arg-type]


def test_only_the_folders_owner_may_knock(folder: Path) -> None:
    assert (folder / SOCKET).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_goes_wrong_comes_back_as_what_it_is(folder: Path) -> None:
    with pytest.raises(Exception, match=r"concentrator 127.0.0.1:1: .*refused"):
        list(ask(folder, request()))
    with pytest.raises(CannotVerify, match="no such round.*resolution"):
        list(ask(folder, request(resolution_minutes=7)))
    with pytest.raises(CannotVerify, match="no time zone"):
        list(ask(folder, request(zone="Nowhere/Land")))
    with pytest.raises(CannotVerify, match="no such round"):
        list(ask(folder, request(index=b"no index")))
    with pytest.raises(CannotVerify, match="there is no price at 2025-05-04T22"):
        list(ask(folder, request(index=SPOT.encode())))
    with pytest.raises(Exception, match=r"concentrator 127.0.0.1:1: .*refused"):
        list(ask(folder, request(period=NEXT_DAY, index=SPOT.encode())))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0\1\xff",
        encode("aggregate", "North"),
        encode("open", 1),
        b"\xff" * 9,
        encode("settle", "North", b"index", 1),
    ],
)
def test_who_does_not_speak_the_protocol_is_hung_up_on_and_the_next_is_served(
    folder: Path, data: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(folder / SOCKET))
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert peer.recv(100) == b""
    with pytest.raises(CannotVerify):
        list(ask(folder, request(resolution_minutes=7)))


def test_a_second_mdms_does_not_take_the_firsts_place(folder: Path) -> None:
    with pytest.raises(StoreError, match="another MDMS serves there"):
        MdmsServer(folder, NOWHERE).serve(lambda path: None)
    with pytest.raises(CannotVerify):
        list(ask(folder, request(resolution_minutes=7)))


def test_where_none_serves_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(LineError, match="mdms serve"):
        list(ask(tmp_path, request()))


def test_requests_come_back_as_they_went() -> None:
    weighed = request(index=b"index", is_again=True)
    proved = request(are_ranges_proved=True, exponent_bits=256)
    for one in (request(), proved, request(are_ranges_proved=False), weighed):
        assert Request.of(one.message()) == one


@pytest.mark.parametrize(
    ("days", "resolution", "wish", "proved"),
    [
        (1, 5, None, True),
        (1, 15, None, True),
        (7, 60, None, True),
        (31, 1440, None, True),
        (31, 15, None, False),
        (31, 15, True, True),
        (1, 15, False, False),
    ],
)
def test_ranges_are_proved_where_that_is_cheap_or_wished(
    folder: Path, days: int, resolution: int, wish: bool | None, proved: bool
) -> None:
    period = Period(date(2025, 5, 1), date(2025, 5, days))
    with Mdms.open(folder) as workspace:
        terms = request(period=period, resolution_minutes=resolution, are_ranges_proved=wish).terms(
            workspace
        )
    assert terms.are_ranges_proved is proved
