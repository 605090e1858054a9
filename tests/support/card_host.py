# SPDX-License-Identifier: Apache-2.0
"""A host that manages the card with raw commands, as the tools of the field send them."""

import hashlib

from hub.card.open import Card
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_length, encode_lv
from protocols.packages.load_file import build_components
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys, encrypt_key, key_check_value
from protocols.secure_channel.session import SecurityLevel
from tests.support.card import ISSUER, KEYS, MODULE, PACKAGE

DOMAIN_PACKAGE = bytes.fromhex("A0000001515350")
DOMAIN_MODULE = bytes.fromhex("A000000151535041")


def load_block(bundle: bytes = b"bundle", aid: bytes = PACKAGE, module: bytes = MODULE) -> bytes:
    parts = build_components(aid, (1, 0), (module,), bundle, "com/meterlet/test")
    return b"".join(parts.values())


class Manager:
    """Somebody who holds a security domain's keys."""

    def __init__(
        self,
        card: Card,
        aid: bytes = ISSUER,
        keys: StaticKeys = KEYS,
        level: int = 0x33,
        version: int = 0,
    ) -> None:
        self.connection = card.connect()
        self.client = CardClient(self.connection.transmit, max_data=255)
        self.client.select(aid)
        self.client.open_scp03(keys, bytes(8), level=SecurityLevel(level), key_version=version)

    def send(self, header: str, data: bytes = b"", le: int | None = 256) -> ResponseApdu:
        cla, ins, p1, p2 = bytes.fromhex(header)
        return self.client.send(CommandApdu(cla, ins, p1, p2, data, le))

    def sw(self, header: str, data: bytes = b"") -> str:
        return f"{self.send(header, data).sw:04X}"

    def ok(self, header: str, data: bytes = b"") -> bytes:
        response = self.send(header, data)
        assert response.sw == 0x9000, f"{header} {data.hex()}: {response.sw:04X}"
        return response.data

    def install_for_load(
        self, aid: bytes = PACKAGE, domain: bytes = b"", digest: bytes = b"", token: bytes = b"",
        parameters: bytes = b"",
    ) -> str:  # fmt: skip
        return self.sw("80E60200", encode_lv(aid, domain, digest, parameters, token))

    def load(self, block: bytes, *, size: int = 200, prefix: bytes = b"") -> str:
        data = prefix + b"\xc4" + encode_length(len(block)) + block
        blocks = [data[start : start + size] for start in range(0, len(data), size)]
        sw = "none"
        for number, piece in enumerate(blocks):
            last = number == len(blocks) - 1
            sw = self.sw(f"80E8{'80' if last else '00'}{number & 0xFF:02X}", piece)
            if sw != "9000":
                return sw
        return sw

    def load_package(self, **options: bytes) -> str:
        block = load_block(options.pop("bundle", b"bundle"))
        digest = options.pop("digest", hashlib.sha256(block).digest())
        prefix = options.pop("prefix", b"")
        sw = self.install_for_load(digest=digest, **options)
        return sw if sw != "9000" else self.load(block, prefix=prefix)

    def install(
        self, aid: bytes, *, package: bytes = PACKAGE, module: bytes = MODULE,
        privileges: bytes = b"\0", parameters: bytes = b"\xc9\x00", p1: str = "0C",
        token: bytes = b"",
    ) -> str:  # fmt: skip
        data = encode_lv(package, module, aid, privileges, parameters, token)
        return self.sw(f"80E6{p1}00", data)

    def install_domain(self, aid: bytes, privileges: bytes = b"\x80", **options: bytes) -> str:
        return self.install(
            aid,
            package=DOMAIN_PACKAGE,
            module=DOMAIN_MODULE,
            privileges=privileges,
            parameters=options.get("parameters", b"\xc9\x00"),
        )

    def put_keys(self, version: int, keys: StaticKeys, *, replaces: int = 0) -> ResponseApdu:
        session = self.client.session
        assert session is not None
        data = bytes((version,))
        for key in (keys.enc, keys.mac, keys.dek):
            secret = bytes((len(key),)) + encrypt_key(session.dek, key)
            data += b"\x88" + encode_length(len(secret)) + secret + b"\x03" + key_check_value(key)
        return self.send(f"80D8{replaces:02X}81", data)

    def listing(self, scope: str, prefix: bytes = b"") -> dict[str, dict[int, bytes]]:
        data = Tlv(0x4F, prefix).encode()
        response = self.send(f"80F2{scope}02", data)
        collected = response.data
        while response.sw == 0x6310:
            response = self.send(f"80F2{scope}03", data)
            collected += response.data
        if response.sw == 0x6A88:
            return {}
        assert response.sw == 0x9000, f"{response.sw:04X}"
        entries = {}
        for node in Tlv.decode_all(collected):
            assert node.tag == 0xE3
            fields = {item.tag: item.value for item in Tlv.decode_all(node.value)}
            entries[fields[0x4F].hex().upper()] = fields
        return entries

    def state(self, aid: bytes) -> int:
        return self.listing("40", aid)[aid.hex().upper()][0x9F70][0]
