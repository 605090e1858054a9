# SPDX-License-Identifier: Apache-2.0
"""A server that answers requests from a table, and a client that asks it: pull.py."""

import asyncio
from collections.abc import Iterable

from sml_codec import Body, GetListReq, GetListRes, ListEntry, Obis
from sml_codec.client import connect
from sml_codec.dialogue import Request, Responder
from sml_codec.server import serve

SERVER_ID = bytes.fromhex("0a014855420000000001")
ENERGY = Obis.parse("1-0:1.8.0*255")


def current_values(_: Request) -> Iterable[Body]:
    reading = ListEntry(obis=ENERGY, unit=30, scaler=-1, value=40508)
    return [GetListRes(server_id=SERVER_ID, entries=(reading,))]


async def main() -> None:
    server = await serve(Responder(SERVER_ID, {GetListReq: current_values}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, await connect("127.0.0.1", port) as client:
        [[answer]] = await client.ask([GetListReq(client_id=b"pull")])
        assert isinstance(answer, GetListRes)
        for entry in answer.entries:
            print(entry.obis, entry.scaled, entry.unit_symbol)


if __name__ == "__main__":
    asyncio.run(main())
