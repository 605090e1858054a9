# SPDX-License-Identifier: Apache-2.0
"""A meter at the end of a serial line: a pseudo-terminal, with our server behind it."""

import asyncio
import os
import tty

import pytest

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute
from dlms_codec.client import DlmsClient
from dlms_codec.errors import ConnectionLost, NoAnswer
from dlms_codec.link import HdlcLink
from dlms_codec.numbers import UInt32
from dlms_codec.obis import Obis
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.selecting import Entries
from dlms_codec.serial_line import open_serial
from dlms_codec.server_link import HdlcServerLink
from tests.support.dlms_world import PROFILE, SECURE, World, pair

REGISTER = Attribute(3, Obis.parse("1-0:1.8.0"), 2)


def test_a_meter_is_read_over_a_serial_line() -> None:
    async def main() -> None:
        pytest.importorskip("serial")
        access, settings = pair(World(), Mechanism.GMAC)
        device = World().device(access)
        link = HdlcServerLink(lambda client, _: device.session(client, "line"), physical=17)
        meter, end = os.openpty()
        tty.setraw(meter)
        tty.setraw(end)

        def answer() -> None:
            for frame in link.receive(os.read(meter, 4096)):
                os.write(meter, frame)

        loop = asyncio.get_running_loop()
        loop.add_reader(meter, answer)
        line = await open_serial(os.ttyname(end))
        client = DlmsClient(line, HdlcLink(SECURE, 1, 17), settings, counter=SendCounter())
        async with client:
            await client.open()
            assert await client.read(REGISTER) == UInt32(4408736)
            assert len((await client.read_profile(PROFILE, Entries(1, 50))).rows) == 50
        loop.remove_reader(meter)
        line = await open_serial(os.ttyname(end))
        silent = DlmsClient(
            line, HdlcLink(SECURE), settings, counter=SendCounter(), answer_seconds=0.1, retries=1
        )
        with pytest.raises(NoAnswer):
            await silent.open()
        await line.close()
        os.close(meter)
        os.close(end)

    asyncio.run(main())


def test_a_line_that_is_not_there() -> None:
    pytest.importorskip("serial")
    with pytest.raises(ConnectionLost, match="/dev/nothing"):
        asyncio.run(open_serial("/dev/nothing"))
