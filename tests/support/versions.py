# SPDX-License-Identifier: Apache-2.0
"""Versions of an applet, and a recipient that brings them over a session that the hub dialled."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.card.line import Line
from hub.card.open import Card
from hub.card.packages.cap_file import CapFile
from hub.card.packages.host_tool import CardManager
from hub.installer import build_package
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.errors import CardRefused
from protocols.secure_channel.host import CardClient
from tests.support.sharing import VENDOR, Home

AS_BEFORE: Mapping[str, str] = {}
WIDER: Mapping[str, str] = {"at_most = 2": "at_most = 3"}
NARROWER: Mapping[str, str] = {"at_most = 2": "at_most = 1"}


def version(
    home: Home,
    number: str,
    change: Mapping[str, str] = AS_BEFORE,
    *,
    name: str = "cat",
    signer: Ed25519PrivateKey = VENDOR,
    following: str = "",
) -> bytes:
    """Return the package of an applet's version `number`, with lines of its files changed."""
    before = home.packages.get(name)
    home.build(name, following=following)
    folder = home.folder / name
    for path in (folder / "manifest.toml", folder / "applet.py"):
        text = path.read_text()
        for old, new in {'version = "0.1.0"': f'version = "{number}"', **change}.items():
            text = text.replace(old, new)
        path.write_text(text)
    made = build_package(folder, signer, [home.folder])
    if before is not None:
        home.packages[name] = before
    return made


@dataclass
class Bringer:
    """A recipient that holds the keys of its applet's domain, and no others."""

    card: Card
    enrolment: Enrolment
    reasons: list[str | None] = field(default_factory=list)

    def client(self) -> CardClient:
        """Return an open channel to the domain, over a session that the hub dialled."""
        connection = self.card.connect(Line.DIALLED)
        connection.observer = lambda exchange: self.reasons.append(exchange.reason)
        client = CardClient(connection.transmit)
        client.select(self.enrolment.security_domain)
        client.open_scp03(self.enrolment.keys, bytes(8), key_version=self.enrolment.key_version)
        return client

    def bring(self, content: bytes) -> int:
        """Load a new version; return the last status word."""
        cap, client = CapFile.decode(content), self.client()
        manager = CardManager(client, 0x4000)
        try:
            manager.begin_upgrade(cap.file.aid)
            manager.load(cap, domain=self.enrolment.security_domain)
        except CardRefused as refused:
            self.upgrade(0x04)
            return refused.sw
        return 0x9000

    def upgrade(self, p1: int, package: bytes = b"", digest: bytes = b"") -> int:
        """Send MANAGE ELF UPGRADE; return the status word."""
        nodes = [Tlv(0x4F, package)] if package else []
        nodes += [Tlv(0xC1, digest)] if digest else []
        data = Tlv.of(0xA1, nodes).encode() if nodes else b""
        return self.client().send(CommandApdu(0x80, 0xEA, p1, 0, data, le=256)).sw

    def install_for_load(self, aid: bytes) -> int:
        """Announce a package; return the status word."""
        data = encode_lv(aid, b"", bytes(32), b"", b"")
        return self.client().send(CommandApdu(0x80, 0xE6, 0x02, 0, data, le=256)).sw
