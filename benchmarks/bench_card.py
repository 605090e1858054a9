# SPDX-License-Identifier: Apache-2.0
"""The card: a protected APDU in process and over PC/SC, and loading a package.

The targets are 0.3 ms in process and 1 ms over PC/SC for an APDU at level 33, both ends counted,
and 1 s for LOAD and INSTALL. A bare APDU to the same card is the measure beside them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.card.open import Card
from hub.card.packages.cap_file import CapFile, build_cap
from hub.card.packages.host_tool import CardManager
from protocols.iso7816.apdu import CommandApdu
from protocols.secure_channel.host import CardClient
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    ISSUER,
    KEYS,
    MODULE,
    PACKAGE,
    add_applet,
    open_card,
)

ECHO = CommandApdu(0x80, 0x10, 0, 0, bytes(100), le=256)
BUNDLE = bytes(range(256)) * 960
"""240 kB, as much as the billing applet with the libraries it carries."""


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path)
    add_applet(card)
    yield card
    card.database.close()


def client_of(transmit: Any, *, protected: bool) -> CardClient:
    client = CardClient(transmit, max_data=255)
    client.select(APPLET)
    if protected:
        client.open_scp03(APPLET_KEYS, bytes(8))
    return client


@pytest.mark.parametrize("protected", [False, True], ids=["bare", "level 33"])
def bench_apdu_in_process(benchmark: Any, card: Card, protected: bool) -> None:
    benchmark.group = "an APDU of 100 bytes and back, in process"
    client = client_of(card.connect().transmit, protected=protected)
    benchmark(client.call, "echo", ECHO)


@pytest.mark.parametrize("protected", [False, True], ids=["bare", "level 33"])
def bench_apdu_over_pcsc(benchmark: Any, card: Card, protected: bool) -> None:
    if shutil.which("opensc-tool") is None:
        pytest.skip("PC/SC is not installed")
    from tests.support import pcsc
    from tests.hub.card.test_pcsc import linked

    if pcsc.MISSING:
        pytest.skip(f"missing: {pcsc.MISSING}")
    benchmark.group = "an APDU of 100 bytes and back, over PC/SC"
    with pcsc.daemon(), pcsc.inserted(card), linked() as link:

        def transmit(raw: bytes) -> bytes:
            data, sw1, sw2 = link.transmit(list(raw))
            return bytes((*data, sw1, sw2))

        client = client_of(transmit, protected=protected)
        benchmark(client.call, "echo", ECHO)


@pytest.mark.parametrize("block", [239, 60_000], ids=["short blocks", "extended blocks"])
def bench_load_and_install(benchmark: Any, tmp_path: Path, block: int) -> None:
    benchmark.group = "LOAD and INSTALL of 240 kB at level 33"
    cap = CapFile.decode(build_cap(PACKAGE, (1, 0), (MODULE,), BUNDLE, "com.meterlet.test"))
    card = open_card(tmp_path)
    client = CardClient(card.connect().transmit)
    client.select(ISSUER)
    client.open_scp03(KEYS, bytes(8))
    manager = CardManager(client, block)

    def load() -> None:
        manager.load(cap)
        manager.install(APPLET, package=PACKAGE, module=MODULE)

    def clean() -> None:
        if card.find(PACKAGE) is not None:
            manager.delete(PACKAGE, related=True)

    benchmark.pedantic(load, setup=clean, rounds=8)
    card.database.close()


def bench_challenge_with_its_counter_on_the_disk(benchmark: Any, card: Card) -> None:
    benchmark.group = "INITIALIZE UPDATE"
    connection = card.connect()
    benchmark(connection.transmit, bytes.fromhex("80500000080000000000000000"))
