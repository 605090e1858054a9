# SPDX-License-Identifier: Apache-2.0
"""Client and server over TCP: they read, wait no longer than they may, and say what is wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute
from dlms_codec.authentication import Credentials
from dlms_codec.client import DlmsClient, TcpLine, connect, open_tcp, read_counter
from dlms_codec.client_settings import ClientSettings
from dlms_codec.errors import ConnectionLost, NoAnswer, ObjectUndefined, WrongPassword
from dlms_codec.link import HdlcLink
from dlms_codec.numbers import UInt32
from dlms_codec.obis import Obis
from dlms_codec.objects import ObjectTable, data
from dlms_codec.responder import AccessOfClient
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.security import CounterGuard
from dlms_codec.selecting import Entries
from dlms_codec.server import logical_device, serve
from tests.support.dlms_world import METER_TITLE, PROFILE, PUBLIC, SECURE, World, pair
from tests.support.waiting import PATIENCE

REGISTER = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    access: AccessOfClient | None = None,
    *,
    hdlc: bool = False,
    idle: float = PATIENCE,
    most: int = 8,
) -> AsyncIterator[int]:
    clients = {PUBLIC: AccessOfClient(World().table())}
    if access is not None:
        clients[SECURE] = access
    device = logical_device(METER_TITLE, clients, longest=1024)
    server = await serve(
        {1: device}, "127.0.0.1", 0,
        hdlc=hdlc, idle_seconds=idle, proof_seconds=idle, most_connections=most,
    )  # fmt: skip
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("hdlc", [False, True])
def test_a_meter_is_read(hdlc: bool) -> None:
    async def main() -> None:
        access, settings = pair(World(), Mechanism.GMAC, dedicated=True)
        counter, received = SendCounter(), CounterGuard()
        async with serving(access, hdlc=hdlc) as port:
            for _ in range(2):  # the counters go on
                meter = await connect(
                    "127.0.0.1", port, settings,
                    client=SECURE, hdlc=hdlc, counter=counter, received=received,
                )  # fmt: skip
                async with meter:
                    assert meter.meter_title == METER_TITLE
                    assert await meter.read(REGISTER) == UInt32(4408736)
                    profile = await meter.read_profile(PROFILE, Entries(1, 100))
                    assert len(profile.rows) == 100
            assert await read_counter("127.0.0.1", port, Obis.parse("0-0:43.1.0"), hdlc=hdlc) == 77

    asyncio.run(main())


def test_a_client_that_lost_its_counter_asks_for_it() -> None:
    async def main() -> None:
        access, settings = pair(World(), Mechanism.GMAC)
        public = AccessOfClient(
            ObjectTable([data("0-0:43.1.0", lambda: UInt32(access.guards.highest))])
        )
        device = logical_device(METER_TITLE, {PUBLIC: public, SECURE: access})
        async with await serve({1: device}, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            for _ in range(3):
                last = await read_counter("127.0.0.1", port, Obis.parse("0-0:43.1.0"))
                meter = await connect(
                    "127.0.0.1", port, settings, client=SECURE, counter=SendCounter(last + 1)
                )
                async with meter:
                    assert await meter.read(REGISTER) == UInt32(4408736)
            assert access.guards.highest > 6

    asyncio.run(main())


def test_readings_at_once_take_turns() -> None:
    async def main() -> None:
        async with (
            serving() as port,
            await connect("127.0.0.1", port, ClientSettings()) as meter,
        ):
            assert (
                await asyncio.gather(*(meter.read(REGISTER) for _ in range(20)))
                == [UInt32(4408736)] * 20
            )

    asyncio.run(main())


def test_a_meter_that_is_silent_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with answering(silent) as port:
            for hdlc in (False, True):
                with pytest.raises(NoAnswer, match=r"within 0\.05 s"):
                    await connect(
                        "127.0.0.1", port, ClientSettings(), hdlc=hdlc, answer_seconds=0.05
                    )

    asyncio.run(main())


def test_noise_without_end_is_given_up() -> None:
    async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _number in range(1000):
            writer.write(b"\x7e\xa0")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with answering(noise) as port:
            with pytest.raises(NoAnswer):
                await connect(
                    "127.0.0.1", port, ClientSettings(),
                    hdlc=True, answer_seconds=1, whole_seconds=0.2,
                )  # fmt: skip

    asyncio.run(main())


def test_a_frame_that_is_lost_is_sent_again() -> None:
    class Lossy(TcpLine):
        sent = 0

        async def write(self, data: bytes) -> None:
            self.sent += 1
            if self.sent not in (2, 4):
                await super().write(data)

    async def main() -> None:
        async with serving(hdlc=True) as port:
            line = await open_tcp("127.0.0.1", port, 1)
            lossy = Lossy(line._reader, line._writer)
            link = HdlcLink(PUBLIC)
            client = DlmsClient(lossy, link, ClientSettings(), answer_seconds=0.2, retries=50)
            async with client as meter:
                await meter.open()
                assert await meter.read(REGISTER) == UInt32(4408736)
            assert lossy.sent > 5

    asyncio.run(main())


def test_nobody_there_and_nobody_left() -> None:
    async def leave(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async def main() -> None:
        async with answering(leave) as port:
            with pytest.raises(ConnectionLost, match="closed"):
                await connect("127.0.0.1", port, ClientSettings())
        with pytest.raises(ConnectionLost, match=f"port {port}"):
            await connect("127.0.0.1", port, ClientSettings())

    asyncio.run(main())


def test_a_wrong_password_and_an_object_that_is_not_there() -> None:
    async def main() -> None:
        access, settings = pair(World(), Mechanism.LOW, policy=0)
        async with serving(access) as port:
            wrong = ClientSettings(Credentials(Mechanism.LOW, b"guess"))
            with pytest.raises(WrongPassword):
                await connect("127.0.0.1", port, wrong, client=SECURE)
            async with await connect("127.0.0.1", port, settings, client=SECURE) as meter:
                with pytest.raises(ObjectUndefined):
                    await meter.read(Attribute(3, Obis.parse("1-0:2.8.0"), 2))
                assert await meter.read(REGISTER) == UInt32(4408736)

    asyncio.run(main())


def test_a_client_that_never_finishes_is_closed() -> None:
    async def main() -> None:
        async with serving(idle=0.2) as port:
            for sent in (b"", b"\0\1\0\x10\0\1\0\x20\x60", b"\0\1"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                async with asyncio.timeout(PATIENCE):
                    assert await reader.read() == b""
                writer.close()

    asyncio.run(main())


def test_a_client_that_drips_bytes_is_closed_all_the_same() -> None:
    async def main() -> None:
        async with serving(idle=0.3) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            async def drip() -> None:
                for byte in b"\0\1\0\x10\0\1\xff\xff" + bytes(200):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.05)

            task = asyncio.create_task(drip())
            async with asyncio.timeout(PATIENCE):
                with suppress(ConnectionResetError):  # bytes were on their way when it closed
                    assert await reader.read() == b""
            task.cancel()
            writer.close()

    asyncio.run(main())


def test_connections_are_few() -> None:
    async def main() -> None:
        async with (
            serving(most=2) as port,
            await connect("127.0.0.1", port, ClientSettings()) as first,
            await connect("127.0.0.1", port, ClientSettings()),
        ):
            with pytest.raises(ConnectionLost):
                await connect("127.0.0.1", port, ClientSettings())
            assert await first.read(REGISTER) == UInt32(4408736)

    asyncio.run(main())


def test_strangers_keep_nobody_out() -> None:
    """Who only holds connections loses the oldest of them to the next that comes."""

    async def main() -> None:
        async with serving(most=3) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            async with await connect("127.0.0.1", port, ClientSettings()) as meter:
                assert await meter.read(REGISTER) == UInt32(4408736)
                held += [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
                assert await meter.read(REGISTER) == UInt32(4408736)
            async with asyncio.timeout(PATIENCE):
                for reader, _ in held[:4]:
                    with suppress(ConnectionResetError):
                        assert await reader.read() == b""
            for _, writer in held:
                writer.close()

    asyncio.run(main())


def test_a_server_ends_without_a_word_while_clients_are_there() -> None:
    said: list[dict[str, object]] = []
    held: list[socket.socket] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        server = await serve({1: logical_device(METER_TITLE, {})}, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        held.append(socket.create_connection(("127.0.0.1", port)))
        await asyncio.sleep(0.1)  # it is taken
        server.close()

    asyncio.run(main())
    held[0].close()
    assert said == []


def test_bytes_that_are_no_dlms_end_the_connection() -> None:
    async def main() -> None:
        async with serving() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n\0\1\0\1\0\1\0\0")
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(main())
