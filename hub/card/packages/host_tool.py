# SPDX-License-Identifier: Apache-2.0
"""A host that manages a card: what any tool does over PC/SC, for the hub's own command line.

`CardManager` speaks to a security domain over a secure channel that is open already; it takes no
short cut, so what it can do, GlobalPlatformPro, gpshell and pySim can.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hub.card.entries import Privilege
from hub.card.packages.cap_file import CapFile
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv, encode_length, encode_lv
from protocols.secure_channel.errors import CardRefused
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.put_key import put_static_keys

CLA: Final = 0x80
INSTALL, LOAD, DELETE, GET_STATUS, SET_STATUS = 0xE6, 0xE8, 0xE4, 0xF2, 0xF0
UPGRADE: Final = 0xEA
NO_PARAMETERS: Final = b"\xc9\x00"
MORE: Final = 0x6310
NOTHING: Final = 0x6A88


@dataclass(frozen=True, slots=True)
class Listed:
    """What GET STATUS tells of one entry."""

    scope: int
    """80 the issuer's domain, 40 an application or domain, 10 a package."""
    aid: bytes
    life_cycle: int
    privileges: Privilege
    domain: bytes
    package: bytes
    modules: tuple[bytes, ...]


class CardManager:
    """Whoever holds the keys of a security domain, through an open channel."""

    def __init__(self, client: CardClient, block_size: int = 0xEF) -> None:
        """Use `client`; `block_size` bytes of a load file go into one command (EF fit any card)."""
        self._client, self._block_size = client, block_size

    def entries(self) -> list[Listed]:
        """Return what the domain may see of the registry."""
        return [entry for scope in (0x80, 0x40, 0x10) for entry in self._listing(scope)]

    def _listing(self, scope: int) -> Iterable[Listed]:
        data, following = b"", 0
        while True:
            command = CommandApdu(CLA, GET_STATUS, scope, 2 | following, b"\x4f\x00", le=256)
            response = self._client.send(command)
            if response.sw == NOTHING:
                return
            if response.sw not in {0x9000, MORE}:
                raise CardRefused("GET STATUS", response.sw)
            data, following = data + response.data, 1
            if response.sw != MORE:
                break
        for node in Tlv.decode_all(data):
            fields = list(Tlv.decode_all(node.value))
            values = {field.tag: field.value for field in fields}
            yield Listed(
                scope,
                values.get(0x4F, b""),
                values.get(0x9F70, b"\0")[0],
                Privilege(int.from_bytes(values.get(0xC5, b"\0"), "big")),
                values.get(0xCC, b""),
                values.get(0xC4, b""),
                tuple(field.value for field in fields if field.tag == 0x84),
            )

    def begin_upgrade(self, package: bytes) -> None:
        """Let the next load of `package` take its place (Amendment H)."""
        data = Tlv.of(0xA1, [Tlv(0x4F, package)]).encode()
        self._call("MANAGE ELF UPGRADE [start]", UPGRADE, 0x01, 0, data)

    def abort_upgrade(self) -> None:
        """Stay with the old version."""
        self._call("MANAGE ELF UPGRADE [abort]", UPGRADE, 0x04, 0, b"")

    def accept_version(self, package: bytes, digest: bytes) -> None:
        """Put the version in place that is offered and has this digest; for the resident."""
        self._decide("accept", 0x02, package, digest)

    def refuse_version(self, package: bytes, digest: bytes) -> None:
        """Drop the version that is offered and has this digest; for the resident."""
        self._decide("refuse", 0x04, package, digest)

    def _decide(self, word: str, p1: int, package: bytes, digest: bytes) -> None:
        data = Tlv.of(0xA1, [Tlv(0x4F, package), Tlv(0xC1, digest)]).encode()
        self._call(f"MANAGE ELF UPGRADE [{word}]", UPGRADE, p1, 0, data)

    def set_privileges(self, aid: bytes, privileges: Privilege) -> None:
        """Give an application or domain these privileges instead of those that it has."""
        fields = encode_lv(b"", b"", aid, privileges.encode(), b"", b"")
        self._call("INSTALL [for registry update]", INSTALL, 0x40, 0, fields)

    def load(
        self,
        cap: CapFile,
        *,
        domain: bytes = b"",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Load a package into `domain` (the selected one); `progress` hears bytes done and all."""
        fields = encode_lv(cap.file.aid, domain, cap.sha256, b"", b"")
        self._call("INSTALL [for load]", INSTALL, 0x02, 0, fields)
        data = b"\xc4" + encode_length(len(cap.block)) + cap.block
        starts = range(0, len(data), self._block_size)
        for number, start in enumerate(starts):
            last = number == len(starts) - 1
            piece = data[start : start + self._block_size]
            self._call("LOAD", LOAD, 0x80 if last else 0, number & 0xFF, piece)
            if progress is not None:
                progress(start + len(piece), len(data))

    def install(
        self,
        aid: bytes,
        *,
        package: bytes,
        module: bytes,
        privileges: Privilege = Privilege.NONE,
        parameters: bytes = b"",
    ) -> None:
        """Install and make selectable an instance of a loaded module."""
        given = Tlv(0xC9, parameters).encode()
        fields = encode_lv(package, module, aid, privileges.encode(), given, b"")
        self._call("INSTALL [for install and make selectable]", INSTALL, 0x0C, 0, fields)

    def extradite(self, aid: bytes, domain: bytes) -> None:
        """Move an application to another security domain."""
        fields = encode_lv(domain, b"", aid, b"", b"", b"")
        self._call("INSTALL [for extradition]", INSTALL, 0x10, 0, fields)

    def lock(self, aid: bytes) -> None:
        """Lock an application; it cannot be selected until it is unlocked."""
        self._call("SET STATUS", SET_STATUS, 0x40, 0x80, aid)

    def unlock(self, aid: bytes) -> None:
        """Bring an application back to the state it had."""
        self._call("SET STATUS", SET_STATUS, 0x40, 0x00, aid)

    def delete(self, aid: bytes, *, related: bool = False) -> None:
        """Delete an object, with what was made from it if `related`."""
        data = Tlv(0x4F, aid).encode()
        self._call("DELETE", DELETE, 0, 0x80 if related else 0, data)

    def put_keys(self, version: int, keys: StaticKeys, *, replaces: int = 0) -> None:
        """Give the selected domain an SCP03 key set."""
        put_static_keys(self._client, version, keys, replaces=replaces)

    def _call(self, step: str, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        return self._client.call(step, CommandApdu(CLA, ins, p1, p2, data, le=256))
