# SPDX-License-Identifier: Apache-2.0
"""Our client reads a meter of gurux-dlms; gurux-dlms and dlms-cosem read our server."""

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute, Failure, Value
from dlms_codec.authentication import Credentials
from dlms_codec.client import connect
from dlms_codec.client_settings import ClientSettings
from dlms_codec.numbers import UInt32
from dlms_codec.obis import Obis
from dlms_codec.responder import AccessOfClient
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.selecting import Entries
from dlms_codec.server import logical_device, serve
from tests.support.dlms_peers import gurux_meter, needs_peers, run_client
from tests.support.dlms_world import (
    CLIENT_TITLE,
    KEYS,
    METER_TITLE,
    PROFILE,
    SECRET,
    SECURE,
    SIGNING,
    World,
    pair,
)

pytestmark = [needs_peers, pytest.mark.process]

REGISTER = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
LINKS = pytest.mark.parametrize("hdlc", [False, True], ids=["wrapper", "hdlc"])


@LINKS
@pytest.mark.parametrize("suite", [0, 1])
@pytest.mark.parametrize("general", [False, True])
def test_our_client_reads_their_meter(hdlc: bool, suite: int, general: bool) -> None:
    async def read(port: int) -> None:
        credentials = Credentials(Mechanism.GMAC)
        settings = ClientSettings(credentials, KEYS, CLIENT_TITLE, suite, general=general)
        meter = await connect(
            "127.0.0.1", port, settings, client=SECURE, hdlc=hdlc, counter=SendCounter()
        )
        async with meter:
            assert meter.meter_title == b"GRX\0\0\0\0\x01"
            assert await meter.read(REGISTER) == UInt32(4408736)
            assert (await meter.read_clock()).local is not None
            profile = await meter.read_profile(PROFILE, Entries(1, 100))
            assert [row[1] for row in profile.rows] == [1000 + 7 * n for n in range(100)]
            missing = Attribute(1, Obis.parse("0-0:9.9.9"), 2)
            listed = await meter.read_list([REGISTER, missing])
            assert listed == (Value(UInt32(4408736)), Failure(4))

    with gurux_meter(hdlc=hdlc, suite=suite, rows=200, longest=512) as port:
        asyncio.run(read(port))


@LINKS
@pytest.mark.parametrize("suite", [0, 1])
@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize("peer", ["gurux", "cosem"])
def test_their_clients_read_our_server(peer: str, hdlc: bool, suite: int, dedicated: bool) -> None:
    access, _ = pair(World(), Mechanism.GMAC, suite=suite)
    told = asyncio.run(
        read_ours(access, peer, hdlc=hdlc, suite=suite, dedicated=dedicated, rows=60)
    )
    assert told["energy"] == 4408736
    assert told["rows"] == [1000 + 7 * number for number in range(60)]  # more than one block
    if peer == "gurux":
        assert told["list"] == [4408736, 77]
        assert "7 1.0.99.1.0.255" in told["objects"]
        assert len(told["objects"]) == 9


def test_their_client_with_keys_of_256_bits() -> None:
    access, _ = pair(World(), Mechanism.GMAC, suite=2)
    told = asyncio.run(read_ours(access, "cosem", hdlc=False, suite=2, rows=60))
    assert told["rows"] == [1000 + 7 * number for number in range(60)]


def test_their_client_proves_itself_by_a_signature() -> None:
    """On P-256; gurux-dlms 1.0.203 signs nothing on P-384."""
    access, _ = pair(World(), Mechanism.ECDSA, suite=1)
    ours, theirs = SIGNING[1]
    public = ours.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    private = theirs.private_numbers().private_value.to_bytes(32, "big")
    told = asyncio.run(
        read_ours(
            access, "gurux", hdlc=False, suite=1, rows=3,
            mechanism=7, public=public.hex(), private=private.hex(),
        )
    )  # fmt: skip
    assert told["rows"] == [1000, 1007, 1014]


@pytest.mark.parametrize(
    "mechanism", [Mechanism.LOW, Mechanism.MD5, Mechanism.SHA1, Mechanism.SHA256]
)
@pytest.mark.parametrize("policy", [0, 0x30])
def test_their_client_proves_itself_by_a_secret(mechanism: Mechanism, policy: int) -> None:
    access, _ = pair(World(), mechanism, policy=policy)
    told = asyncio.run(
        read_ours(
            access, "gurux", hdlc=False, suite=0, rows=3,
            mechanism=int(mechanism), secret=SECRET.decode(), protects=bool(policy),
        )
    )  # fmt: skip
    assert told["rows"] == [1000, 1007, 1014]


async def read_ours(
    access: AccessOfClient, peer: str, *, hdlc: bool, **options: object
) -> dict[str, Any]:
    device = logical_device(METER_TITLE, {SECURE: access}, longest=1024)
    server = await serve({1: device}, "127.0.0.1", 0, hdlc=hdlc)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await run_client(peer, port=port, hdlc=hdlc, **options)
