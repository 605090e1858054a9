# SPDX-License-Identifier: Apache-2.0
"""Meters behind files, TCP, HTTP and serial lines."""

import asyncio
import os
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sml_codec import (
    GetListRes,
    ListEntry,
    Message,
    Obis,
    Telegram,
    encode_file,
    encode_frame,
)
from sml_codec.hextext import HexText, as_bytes
from sml_codec.sources import (
    Interruption,
    Retry,
    SerialLine,
    open_source,
    poll_http,
    read_file,
    read_serial,
    read_tcp,
    reconnecting,
    telegrams,
)
from tests.support.waiting import PATIENCE

ENERGY = Obis.parse("1-0:1.8.0*255")


def frame(value: int) -> bytes:
    body = GetListRes(server_id=b"m", entries=(ListEntry(obis=ENERGY, value=value),))
    return encode_frame(encode_file([Message(transaction_id=b"1", body=body)]))


async def first(source: AsyncIterator[bytes], count: int) -> list[Telegram]:
    """Return as many telegrams, and close the source."""
    found = []
    async for telegram in telegrams(source):
        found.append(telegram)
        if len(found) == count:
            break
    return found


def values(found: list[Telegram]) -> list[object]:
    return [entry.value for telegram in found for entry in telegram.entries()]


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "capture.bin"
    path.write_bytes(b"".join(frame(number) for number in range(50)) + frame(50)[:-3])
    found = asyncio.run(first(read_file(path, piece=17), 99))
    assert values(found) == list(range(51))
    assert [telegram.is_intact for telegram in found] == [True] * 50 + [False]
    assert values(asyncio.run(first(open_source(str(path)), 99))) == list(range(51))


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listening(handler: Handler) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def send_and_close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(frame(1) + frame(2))
    await writer.drain()
    writer.close()


def test_a_tcp_source_ends_with_its_connection_or_starts_again() -> None:
    async def journey() -> None:
        server, port = await listening(send_and_close)
        async with server:
            assert values(await first(open_source(f"tcp://127.0.0.1:{port}"), 99)) == [1, 2]
            again = read_tcp("127.0.0.1", port, retry_seconds=0.01)
            assert values(await first(again, 5)) == [1, 2, 1, 2, 1]
        with pytest.raises(OSError, match="Connect"):
            await first(read_tcp("127.0.0.1", port), 1)

    asyncio.run(journey())


class Bridge(BaseHTTPRequestHandler):
    """Answers with one frame after the other, each of them twice."""

    served = 0
    logins: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        body = frame(Bridge.served // 2)
        Bridge.served += 1
        Bridge.logins.append(self.headers["Authorization"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_an_http_source_yields_each_new_answer_once() -> None:
    bridge = HTTPServer(("127.0.0.1", 0), Bridge)
    thread = threading.Thread(target=bridge.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{bridge.server_port}/data"
        source = poll_http(address, interval=0.001, login="user:pass", polls=6)
        assert values(asyncio.run(first(source, 99))) == [0, 1, 2]
    finally:
        bridge.shutdown()
        thread.join()
        bridge.server_close()
    assert Bridge.logins == ["Basic dXNlcjpwYXNz"] * 6


def test_a_serial_line_is_read_as_it_comes() -> None:
    pytest.importorskip("serial")
    controller, device = os.openpty()
    try:
        tty.setraw(device)
        line = SerialLine(os.ttyname(device))

        async def send() -> None:
            for number in count():  # what comes before the line is open is lost
                os.write(controller, frame(number))
                await asyncio.sleep(0.05)

        async def journey() -> list[Telegram]:
            sending = asyncio.create_task(send())
            found = await asyncio.wait_for(first(read_serial(line), 3), PATIENCE)
            sending.cancel()
            return found

        numbers = values(asyncio.run(journey()))
        assert len(numbers) == 3
        assert numbers == sorted(numbers, key=str)
    finally:
        os.close(controller)
        os.close(device)


def test_addresses_say_what_they_are() -> None:
    assert SerialLine.parse("serial:///dev/ttyUSB0") == SerialLine("/dev/ttyUSB0", 9600)
    assert SerialLine.parse("serial:///dev/ttyUSB0?baud=300").baud == 300
    for wrong in ("serial://", "serial:///dev/x?speed=1", "serial:///dev/x?baud=fast"):
        with pytest.raises(ValueError, match=r"serial|baud|fast"):
            SerialLine.parse(wrong)
    for wrong in ("ftp://meter", "tcp://meter"):
        with pytest.raises(ValueError, match="meter"):
            open_source(wrong)
    with pytest.raises(ValueError, match="login"):
        asyncio.run(first(open_source("http://user:pass@meter/"), 1))


# Opened again


def test_a_source_that_breaks_is_opened_again_after_longer_and_longer_delays() -> None:
    told: list[Interruption] = []
    waited: list[float] = []
    broken = iter([False, True, True, True, False, True])

    async def opened() -> AsyncIterator[bytes]:
        if next(broken):
            raise ConnectionResetError(104, "Connection reset by peer")
        yield frame(len(waited))

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    retry = Retry(first=1, longest=3, heard=told.append, sleep=sleep)
    source = reconnecting(opened, retry)
    assert values(asyncio.run(first(source, 2))) == [0, 4]
    assert waited == [1, 2, 3, 3]
    assert [one.reason for one in told] == ["it ended", *["Connection reset by peer"] * 3]
    assert [one.attempts for one in told] == [1, 2, 3, 4]


def test_a_source_that_was_never_there_is_an_error_unless_it_is_waited_for() -> None:
    async def opened() -> AsyncIterator[bytes]:
        for error in (OSError(2, "No such file or directory"),):
            raise error
        yield b""

    with pytest.raises(OSError, match="No such file"):
        asyncio.run(first(reconnecting(opened, Retry()), 1))

    async def give_up(_: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(first(reconnecting(opened, Retry(from_start=True, sleep=give_up)), 1))


class Faltering(BaseHTTPRequestHandler):
    """Answers with an error every other time."""

    served = 0

    def do_GET(self) -> None:
        Faltering.served += 1
        self.send_response(500 if Faltering.served % 2 == 0 else 200)
        self.end_headers()
        if Faltering.served % 2:
            self.wfile.write(frame(Faltering.served).hex(" ").encode())

    def log_message(self, *_: object) -> None:
        pass


def test_an_http_bridge_that_answers_500_is_asked_again_and_its_hex_is_read() -> None:
    bridge = HTTPServer(("127.0.0.1", 0), Faltering)
    thread = threading.Thread(target=bridge.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{bridge.server_port}/"
        retry = Retry(first=0.001, longest=0.001)
        source = reconnecting(lambda: poll_http(address, interval=0.001), retry)
        assert values(asyncio.run(first(source, 3))) == [1, 3, 5]
    finally:
        bridge.shutdown()
        thread.join()
        bridge.server_close()


# Hex where bytes are due


@given(st.lists(st.integers(1, 60), max_size=20), st.sampled_from([" ", "", ", ", ":", "\r\n"]))
def test_hex_is_read_as_the_bytes_that_it_spells_however_it_is_cut(
    cuts: list[int], between: str
) -> None:
    wire = frame(1) + frame(2)
    spelled, text, read = wire.hex(between[:1] or ":").encode(), HexText(), b""
    spelled = spelled.replace(between[:1].encode() or b":", between.encode())
    for cut in cuts:
        read += text.feed(spelled[:cut])
        spelled = spelled[cut:]
    assert read + text.feed(spelled) + text.close() == wire
    assert text.is_hex


def test_hex_as_programs_write_it_is_read() -> None:
    wire = frame(77)
    assert as_bytes(", ".join(f"0x{byte:02X}" for byte in wire).encode()) == wire
    for cut in range(1, 60):
        text, spelled = HexText(), " ".join(f"0x{byte:02x}" for byte in wire).encode()
        assert text.feed(spelled[:cut]) + text.feed(spelled[cut:]) + text.close() == wire


@given(st.binary(max_size=100), st.integers(0, 100))
def test_bytes_stay_bytes(data: bytes, cut: int) -> None:
    data = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01" + data
    text = HexText()
    assert text.feed(data[:cut]) + text.feed(data[cut:]) + text.close() == data


def test_a_serial_line_that_is_pulled_out_is_opened_again() -> None:
    pytest.importorskip("serial")
    ends = [os.openpty(), os.openpty()]
    lines = iter([SerialLine(os.ttyname(device)) for _, device in ends])
    told: list[Interruption] = []

    async def journey() -> list[Telegram]:
        pulled = asyncio.Event()

        async def send() -> None:
            while not told:
                os.write(ends[0][0], frame(1))
                await asyncio.sleep(0.05)
                if pulled.is_set():
                    os.close(ends[0][0])
                    os.close(ends[0][1])
                    break
            while True:
                os.write(ends[1][0], frame(2))
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(send())
        source = reconnecting(lambda: read_serial(next(lines)), Retry(0.01, heard=told.append))
        found = []
        async for telegram in telegrams(source):
            if telegram.is_intact:
                found.append(telegram)
                pulled.set()
            if values(found)[-1:] == [2]:
                break
        sending.cancel()
        return found

    for _, device in ends:
        tty.setraw(device)
    assert set(values(asyncio.run(asyncio.wait_for(journey(), PATIENCE)))) == {1, 2}
    assert len(told) == 1
    for end in ends[1]:
        os.close(end)
