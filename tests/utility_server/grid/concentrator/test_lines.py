# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import socket
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sockets import free_port
from tests.support.stand_in import ASKER_KEYS, SERVER, asking, line_to, running
from tests.support.waiting import PATIENCE
from utility_server.grid.concentrator.errors import (
    ConcentratorError,
    ConcentratorRefused,
    LineError,
)
from utility_server.grid.concentrator.hubs import read_dialled_hubs, read_hubs, read_listening_hubs
from utility_server.grid.concentrator.service import Concentrator
from utility_server.grid.pinned_line import CHALLENGE_SIZE, PROOF_SIZE
from utility_server.grid.rpc import LARGEST_FRAME, Connection, decode, encode, read_message
from utility_server.head_end import Address

GOOD = {"meter": "0a0b", "region": "North", "address": "127.0.0.1:7816"}


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    try:
        name, items = decode(data)
    except LineError:
        return
    assert encode(name, *items)[4:] == data


@given(st.text(max_size=20), st.lists(st.binary() | st.text() | st.integers(-(2**63), 2**64 - 1)))
def test_messages_come_back_as_they_went(name: str, items: list[bytes | str | int]) -> None:
    assert decode(encode(name, *items)[4:]) == (name, tuple(items))


def test_a_frame_has_the_bytes_that_were_recorded_before_there_was_one_encoder() -> None:
    data = encode("announce", bytes(32), "Nord", 2**40, b"x" * 300)
    assert sha256(data).hexdigest() == (
        "c58fd1d48c7ce42858eae7518355b122426e58ea7fe88e879cda1866efaed14f"
    )


@pytest.mark.parametrize(
    "items", [[], ["a", None], ["a", True], ["a", 1.5], ["a", ["b"]], [b"a"], "a"]
)
def test_what_is_no_message_is_refused(items: object) -> None:
    with pytest.raises(LineError, match="no message"):
        decode(cbor2.dumps(items))


@pytest.mark.parametrize("module", ["rpc", "trustee", "concentrator.errors", "mdms.control_socket"])
def test_a_module_of_the_grid_can_be_imported_first(module: str) -> None:
    program = f"import utility_server.grid.{module}"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)


def test_a_message_has_one_encoding() -> None:
    assert decode(bytes.fromhex("82616101")) == ("a", (1,))
    with pytest.raises(LineError):
        decode(bytes.fromhex("8261611801"))


def read(*chunks: bytes) -> object:
    async def main() -> object:
        reader = asyncio.StreamReader()
        for chunk in chunks:
            reader.feed_data(chunk)
        reader.feed_eof()
        return await read_message(reader)

    return asyncio.run(main())


def test_a_stream_may_end_between_messages_only() -> None:
    frame = encode("status")
    assert read() is None
    assert read(frame[:3], frame[3:]) == ("status", ())
    for end in range(1, len(frame)):
        with pytest.raises(LineError, match="within a message"):
            read(frame[:end])


@pytest.mark.parametrize("size", [0, LARGEST_FRAME + 1, 0xFFFFFFFF])
def test_frames_of_other_sizes_are_refused_before_they_come(size: int) -> None:
    with pytest.raises(LineError, match="limit"):
        read(size.to_bytes(4, "big"))


@pytest.fixture
def concentrator(tmp_path: Path) -> Concentrator:
    path = tmp_path / "hubs.json"
    path.write_text(json.dumps({"format": "meterlet hubs 1", "hubs": [GOOD]}))
    return Concentrator(path, bytes(32), asking(), SERVER)


def test_a_peer_that_does_not_speak_the_protocol_is_hung_up_on_and_others_are_served(
    concentrator: Concentrator,
) -> None:
    with running(concentrator) as address:
        with socket.create_connection((address.host, address.port), PATIENCE) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n".ljust(PROOF_SIZE))
            assert len(peer.recv(CHALLENGE_SIZE, socket.MSG_WAITALL)) == CHALLENGE_SIZE
            with suppress(ConnectionResetError):
                assert peer.recv(100) == b""
        with line_to(address) as line:
            assert [name for name, _ in line.ask("status")] == ["status", "done"]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (("collect", b"?"), "announcement"),
        (("collect", 1), "no such request"),
        (("keys", "South", bytes(32)), "no hub of region South"),
        (("evidence", bytes(32)), "no such round"),
        (("points", bytes(32)), "no such round"),
        (("pair", bytes(32), b"m", b"p"), "no such round"),
        (("open", bytes(32)), "no such request"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_the_line_stays(
    concentrator: Concentrator, request_: tuple[str, str | int | bytes], why: str
) -> None:
    with running(concentrator) as address, line_to(address) as line:
        with pytest.raises(ConcentratorRefused, match=why):
            list(line.ask(*request_))
        assert [name for name, _ in line.ask("status")] == ["status", "done"]


def test_a_hub_that_is_not_there_is_absent_by_name(concentrator: Concentrator) -> None:
    port = free_port()
    entry = {**GOOD, "address": f"127.0.0.1:{port}"}
    concentrator.hubs_file.write_text(json.dumps({"format": "meterlet hubs 1", "hubs": [entry]}))
    with running(concentrator) as address, line_to(address) as line:
        (name, items), _ = line.ask("keys", "North", bytes(32))
    assert (name, items[:2]) == ("absent", (b"\x0a\x0b", "tell keys"))
    assert "refused" in str(items[2])


def test_a_concentrator_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(LineError, match=r"concentrator 127.0.0.1:1: "),
        Connection.open(Address("127.0.0.1", 1), 5, ASKER_KEYS),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not JSON"),
        ("[]", "not a file of"),
        ('{"format": "meterlet hubs 3", "hubs": []}', "not a file of"),
        ([{**GOOD, "more": 1}], "hub 1: it needs just"),
        ([GOOD, GOOD], "twice"),
        ([GOOD, {**GOOD, "meter": "xy"}], "hub 2"),
        ([{**GOOD, "address": "127.0.0.1"}], "hub 1.*HOST:PORT"),
        ([{**GOOD, "region": 7}], "hub 1"),
    ],
)
def test_a_list_of_hubs_is_read_strictly(tmp_path: Path, content: object, why: str) -> None:
    path = tmp_path / "hubs.json"
    text = content
    if not isinstance(content, str):
        text = json.dumps({"format": "meterlet hubs 1", "hubs": content})
    path.write_text(str(text))
    with pytest.raises(ConcentratorError, match=why):
        read_hubs(path)


DIALS = {"meter": "aa", "region": "any", "certifier": "00" * 32}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([GOOD], "just meter, region and certifier"),
        ([{**DIALS, "address": "127.0.0.1:1"}], "just meter, region and certifier"),
        ([{**DIALS, "certifier": "00"}], "hub 1: a certifier's key has 32 bytes"),
        ([{**DIALS, "certifier": "x"}], "hub 1"),
        ([DIALS, DIALS], "twice"),
    ],
)
def test_a_list_of_hubs_that_dial_is_read_strictly(
    tmp_path: Path, content: object, why: str
) -> None:
    path = tmp_path / "hubs.json"
    path.write_text(json.dumps({"format": "meterlet hubs 2", "hubs": content}))
    with pytest.raises(ConcentratorError, match=why):
        read_hubs(path)


def test_a_list_is_of_hubs_that_listen_or_of_such_that_dial(tmp_path: Path) -> None:
    path = tmp_path / "hubs.json"
    path.write_text(json.dumps({"format": "meterlet hubs 2", "hubs": [DIALS]}))
    assert read_dialled_hubs(path)[0].certifier == bytes(32)
    with pytest.raises(ConcentratorError, match="its hubs dial"):
        read_listening_hubs(path)
    path.write_text(json.dumps({"format": "meterlet hubs 1", "hubs": [GOOD]}))
    assert read_listening_hubs(path)[0].address is not None
    with pytest.raises(ConcentratorError, match="hubs 2"):
        read_dialled_hubs(path)
