# SPDX-License-Identifier: Apache-2.0
"""Real clients over PC/SC: opensc-tool, pyscard."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.card.profile import YUBIKEY
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.host import CardClient
from tests.support import pcsc
from tests.support.card import APPLET, APPLET_KEYS, KEYS, PACKAGE, add_applet, open_card
from tests.support.card_host import Manager
from tests.support.waiting import PATIENCE

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(pcsc.MISSING), reason=f"PC/SC IS NOT TESTED, missing: {pcsc.MISSING}"),
]
smartcard = pytest.importorskip("smartcard.System")


@pytest.fixture(scope="module")
def reader() -> Iterator[None]:
    with pcsc.daemon():
        yield


class Remote(Manager):
    """A manager that comes through pyscard."""

    def __init__(self, link: Any) -> None:
        def transmit(raw: bytes) -> bytes:
            data, sw1, sw2 = link.transmit(list(raw))
            return bytes((*data, sw1, sw2))

        self.client = CardClient(transmit, max_data=255)


@pytest.mark.usefixtures("reader")
def test_opensc_tool_reads_the_atr_and_sends_commands(tmp_path: Path) -> None:
    card = open_card(tmp_path)
    with pcsc.inserted(card):
        with pcsc.linked():
            pass

        def tool(*arguments: str) -> str:
            return subprocess.run(
                ["opensc-tool", "--reader", "0", *arguments],
                check=True, capture_output=True, text=True, timeout=PATIENCE,
            ).stdout  # fmt: skip

        assert tool("--atr").startswith("3b:fe:13:00:00:81:31:fe:45")
        answer = tool("--send-apdu", "00A4040000", "--send-apdu", "80CA9F7F00")
        assert re.search(r"SW1=0x90, SW2=0x00.*6F 10 84 08 A0 00 00 01 51", answer, re.DOTALL)
        assert answer.count("SW1=0x90, SW2=0x00") == 2


@pytest.mark.usefixtures("reader")
def test_pyscard_lists_loads_installs_personalises_selects_locks_and_deletes(
    tmp_path: Path,
) -> None:
    card = open_card(tmp_path)
    with pcsc.inserted(card), pcsc.linked() as link:
        manager = Remote(link)
        manager.client.select(bytes.fromhex("A000000151000000"))
        manager.client.open_scp03(KEYS, bytes(8))
        assert list(manager.listing("80")) == ["A000000151000000"]
        assert manager.load_package(bundle=bytes(5000)) == "9000"
        assert manager.install(APPLET) == "9000"
        assert manager.sw("80E62000", encode_lv(b"", b"", APPLET, b"", b"", b"")) == "9000"
        assert manager.sw("80E28000", b"hello") == "9000"
        assert manager.sw("80F04080", APPLET) == "9000"
        assert manager.sw("80F04000", APPLET) == "9000"
        assert manager.sw("80E40080", Tlv(0x4F, PACKAGE).encode()) == "9000"
        assert manager.listing("40") == {}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("max_data", [255, 65535])
def test_long_messages_reach_an_applet_and_come_back(tmp_path: Path, max_data: int) -> None:
    card = open_card(tmp_path)
    add_applet(card)
    with pcsc.inserted(card), pcsc.linked() as link:
        manager = Remote(link)
        manager.client = CardClient(manager.client._transmit, max_data=min(max_data, 65_000))
        manager.client.select(APPLET)
        manager.client.open_scp03(APPLET_KEYS, bytes(8))
        message = bytes(range(256)) * (40 if max_data == 255 else 400)
        assert manager.client.call("echo", CommandApdu(0x80, 0x10, 0, 0, message)) == message


@pytest.mark.usefixtures("reader")
def test_yubikit_manages_keys_and_certificates_over_pcsc(tmp_path: Path) -> None:
    ykman = pytest.importorskip("ykman.pcsc")
    domain = pytest.importorskip("yubikit.securitydomain")
    scp = pytest.importorskip("yubikit.core.smartcard.scp")
    card = open_card(tmp_path, profile=YUBIKEY)
    with pcsc.inserted(card):
        with pcsc.linked():
            pass
        (name,) = (each for each in smartcard.readers() if "Virtual PCD 00 00" in str(each))
        link = ykman.ScardSmartCardConnection(name.createConnection())
        try:
            session = domain.SecurityDomainSession(link)
            session.authenticate(scp.Scp03KeyParams())
            session.put_key(scp.KeyRef(1, 5), scp.StaticKeys(bytes(16), bytes(16), bytes(16)))
            leaf = session.get_certificate_bundle(scp.KeyRef(0x13, 1))[-1]
            session = domain.SecurityDomainSession(link)
            session.authenticate(scp.Scp11KeyParams(scp.KeyRef(0x13, 1), leaf.public_key()))
            assert scp.KeyRef(1, 5) in session.get_key_information()
            session = domain.SecurityDomainSession(link)
            session.reset()
            assert scp.KeyRef(1, 0xFF) in session.get_key_information()
        finally:
            link.connection.disconnect()
            link.connection.release()
