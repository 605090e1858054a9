# SPDX-License-Identifier: Apache-2.0
"""Answers DLMS clients over TCP, so that a head end can fetch values.

    access = AccessOfClient(table, Credentials(Mechanism.GMAC), keys, policy=0x30, counter=counter)
    device = logical_device(b"MLT\\0\\0\\0\\0\\1", {1: access})
    server = await serve({1: device}, "::", 4059)

Connections are few, their messages and their silence have limits, and a client that does not take
its answers gets no more of them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from dlms_codec.errors import MalformedDlms
from dlms_codec.responder import AccessOfClient, ClientSession, LogicalDevice
from dlms_codec.server_link import HdlcServerLink, ServerLink, WrapperServerLink
from dlms_codec.wrong_passwords import WrongPasswords

PIECE: Final = 4096
MOST_CONNECTIONS: Final = 8
MOST_OF_ADDRESS: Final = 4


def logical_device(
    system_title: bytes, clients: Mapping[int, AccessOfClient], *, longest: int = 0xFFFF
) -> LogicalDevice:
    """Return a device with this machine's clock and random source."""
    passwords = WrongPasswords(time.monotonic)
    return LogicalDevice(system_title, dict(clients), secrets.token_bytes, passwords, longest)


async def serve(
    devices: Mapping[int, LogicalDevice],
    host: str,
    port: int,
    *,
    hdlc: bool = False,
    physical: int | None = None,
    idle_seconds: float = 120.0,
    proof_seconds: float = 30.0,
    most_connections: int = MOST_CONNECTIONS,
    most_of_address: int = MOST_OF_ADDRESS,
) -> asyncio.Server:
    """Return a server of the devices at their addresses; close it to stop.

    A client that has not proved who it is after `proof_seconds`, is silent for `idle_seconds`, or
    takes no answers for that long, is closed. There are `most_connections`, and `most_of_address`
    from one address; for a further one, that which has not proved who it is for longest is closed,
    and where all have, the further one is.
    """
    connections: list[_Connection] = []

    def has_room(held: list[_Connection], most: int) -> bool:
        """Tell whether one more may come among those held, for which the oldest stranger goes."""
        if len(held) < most:
            return True
        stranger = next((one for one in held if not one.is_proved), None)
        if stranger is None:
            return False
        connections.remove(stranger)
        stranger.abort()
        return True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str((writer.get_extra_info("peername") or ("",))[0])
        own = [one for one in connections if one.address == address]
        if not has_room(own, most_of_address) or not has_room(connections, most_connections):
            writer.close()
            return
        connection = _Connection(devices, writer, address, hdlc=hdlc, physical=physical)
        connections.append(connection)
        try:
            # CancelledError: the server ends, and asyncio would print a traceback of each.
            with suppress(asyncio.CancelledError):
                await connection.talk(reader, idle_seconds, proof_seconds)
        finally:
            if connection in connections:
                connections.remove(connection)
            writer.close()

    return await asyncio.start_server(talk, host, port, limit=PIECE)


class _Connection:
    """One client's connection."""

    def __init__(
        self,
        devices: Mapping[int, LogicalDevice],
        writer: asyncio.StreamWriter,
        address: str,
        *,
        hdlc: bool,
        physical: int | None,
    ) -> None:
        self._devices = devices
        self._writer = writer
        self.address = address
        self._session: ClientSession | None = None
        self._link: ServerLink = (
            HdlcServerLink(self._open, physical=physical) if hdlc else WrapperServerLink(self._open)
        )

    @property
    def is_proved(self) -> bool:
        """Whether the client has proved who it is."""
        return self._session is not None and self._session.is_associated

    def abort(self) -> None:
        """Close the connection now, whatever is on its way."""
        self._writer.transport.abort()

    def _open(self, client: int, server: int) -> ClientSession | None:
        device = self._devices.get(server)
        self._session = None if device is None else device.session(client, self.address)
        return self._session

    async def talk(
        self, reader: asyncio.StreamReader, idle_seconds: float, proof_seconds: float
    ) -> None:
        """Answer until the client goes, or is not worth waiting for."""
        unproved = asyncio.get_running_loop().time() + proof_seconds
        # MalformedDlms: what comes is no DLMS, and there is nobody to tell.
        with suppress(TimeoutError, OSError, MalformedDlms):
            while True:
                proved = self.is_proved
                now = asyncio.get_running_loop().time()
                if proved:
                    unproved = now + proof_seconds
                async with asyncio.timeout_at(now + idle_seconds if proved else unproved):
                    piece = await reader.read(PIECE)
                if not piece:
                    return
                for answer in self._link.receive(piece):
                    self._writer.write(answer)
                    async with asyncio.timeout(idle_seconds):
                        await self._writer.drain()
                    await asyncio.sleep(0)  # who floods does not keep the others waiting
