# SPDX-License-Identifier: Apache-2.0
"""Certificates that go with a security domain's keys (GPC Amendment F, 6.5; GPCS 2.3.1, 11.11).

Kept as data objects of the domain, under a name that no tag has: what is kept (certificate bundle,
issuer of a CA key, serials allowed) and the key's identifier and version.
"""

from collections.abc import Iterable
from typing import Final

from hub.card.registry import Registry
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.tlv import Tlv

BUNDLE: Final = 0xBF210000
ALLOWED: Final = 0x00700000
ISSUER: Final = 0x00420000
COUNTER: Final = 0x00920000
CARD_AUTHORITY, HOST_AUTHORITY = 0xFF34, 0xFF33
CARD_KEYS: Final = frozenset({0x11, 0x13, 0x15})


class Certificates:
    """Bundles, CA identifiers and allow lists, by key."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def get(self, domain: bytes, reference: bytes) -> bytes:
        """Return the bundle of the key that a control reference (A6, 83) names; empty for none."""
        with refusing_malformed("GET DATA BF21"):
            fields = Tlv.decode_map(Tlv.decode_map(reference).get(0xA6, b""))
        return self._registry.find_object(domain, BUNDLE | key_name(fields.get(0x83, b""))) or b""

    def store(self, domain: bytes, nodes: Iterable[Tlv]) -> None:
        """Keep what a STORE DATA that begins with a control reference (A6) says of a key."""
        reference, *rest = nodes
        with refusing_malformed("control reference"):
            fields = Tlv.decode_map(reference.value)
        name = key_name(fields.get(0x83, b""))
        if 0x42 in fields:
            kind = fields.get(0x80, b"\0")
            self._registry.set_object(domain, ISSUER | name, kind + fields[0x42])
        for node in rest:
            match node.tag:
                case 0xBF21:
                    self._registry.set_object(domain, BUNDLE | name, node.value)
                case 0x70:
                    # An empty list lifts the restriction.
                    self._registry.set_object(domain, ALLOWED | name, node.value)
                case 0x92:
                    self._count(domain, name, node.value)
                case _:
                    raise CardRefusal(Sw.WRONG_DATA, f"no object {node.tag:X} goes with a key")

    def _count(self, domain: bytes, name: int, counter: bytes) -> None:
        """Keep the counter of an allow list; an older list than the last is refused."""
        last = self._registry.find_object(domain, COUNTER | name) or b"\0\0"
        if len(counter) != 2 or counter < last:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, "the allow list is older than the last one"
            )
        self._registry.set_object(domain, COUNTER | name, counter)

    def find_key(self, domain: bytes, reference: bytes) -> bytes:
        """Return the key whose CA identifier a control reference (A6, 42) names; empty for none."""
        with refusing_malformed("GET DATA 83"):
            wanted = Tlv.decode_map(Tlv.decode_map(reference).get(0xA6, b"")).get(0x42, b"")
        for name, value in self._registry.objects(domain):
            if name & 0xFFFF0000 == ISSUER and value[1:] == wanted:
                return (name & 0xFFFF).to_bytes(2, "big")
        return b""

    def allowed(self, domain: bytes, identifier: int, version: int) -> frozenset[int] | None:
        """Return the serial numbers that a key's certificates may have; None is any."""
        name = key_name(bytes((identifier, version)))
        stored = self._registry.find_object(domain, ALLOWED | name)
        if stored is None:
            return None
        return frozenset(
            int.from_bytes(node.value, "big") for node in Tlv.decode_all(stored) if node.tag == 0x93
        )

    def authorities(self, domain: bytes, tag: int) -> bytes:
        """Return the CA identifiers of the card's (FF34) or the host's (FF33) keys."""
        wanted = tag == CARD_AUTHORITY
        nodes = b""
        for name, value in self._registry.objects(domain):
            if name & 0xFFFF0000 == ISSUER and bool(value[0]) == wanted:
                key = (name & 0xFFFF).to_bytes(2, "big")
                nodes += Tlv(0x42, value[1:]).encode() + Tlv(0x83, key).encode()
        return nodes

    def forget(self, domain: bytes, identifier: int, version: int) -> None:
        """Remove what goes with a key that is gone."""
        name = key_name(bytes((identifier, version)))
        for kind in (BUNDLE, ALLOWED, ISSUER, COUNTER):
            self._registry.set_object(domain, kind | name, b"")


def key_name(reference: bytes) -> int:
    """Return identifier and version as one number; raise `CardRefusal` unless it has two bytes."""
    if len(reference) != 2:
        raise CardRefusal(Sw.WRONG_DATA, "a key reference (83) is an identifier and a version")
    return int.from_bytes(reference, "big")
