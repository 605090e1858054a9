# SPDX-License-Identifier: Apache-2.0
"""PUT KEY: a security domain gets keys of its own (GPCS 2.3.1, 11.8).

    P1  the version that is replaced, 00 to add      P2  the first key's identifier, 80 for several
    new version | for each key: parts (type, length, value) | length and value of the check value

A secret part is encrypted under the session's DEK, with the key's own length before it
(`88 11 10 ..`, `A2 820103 820100 ..`) or without (`88 10 ..`). The curve of an EC key is a
reference (F0) or all its domain parameters (B2 to B7). The answer is the version and the check
values; an AES key must come with one.

The extended format (11.8.2.3.2) has FF before each type, lengths of two bytes, and after the check
value what the key is for and who may use it, each with its length (1). The card keeps no such
rules: it takes what it does anyway, the usage of the keys of SCP03 and their use by the domain.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.commands.get_data import require_authenticated
from hub.card.entries import Kind
from hub.card.keys.curves import CURVES, PARAMETERS, reference_of
from hub.card.keys.keystore import Key, KeyPart, KeyType
from hub.card.keys.signatures import load_public, load_rsa_private
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Cursor
from protocols.secure_channel.keys import AES_SIZES, decrypt_key, key_check_value

SEVERAL: Final = 0x80
FACTORY: Final = 0xFF
"""The version of keys that vanish when the first own ones come."""
EXTENDED: Final = 0xFF
USAGE: Final = {1: b"\x38", 2: b"\x34", 3: b"\x48"}
"""Of SCP03: encryption and MACs in both directions, and data encryption."""
ACCESS: Final = frozenset({b"", b"\x00", b"\x01"})
"""The domain's own, and applications through it: no applet gets hold of a key."""
SECRET: Final = frozenset(
    {KeyType.AES, KeyType.EC_PRIVATE, KeyType.RSA_PRIVATE_MODULUS, KeyType.RSA_PRIVATE_EXPONENT}
)
"""Parts that come encrypted under the DEK."""
_BLOCK: Final = 16
_TYPES: Final = frozenset(int(kind) for kind in KeyType)


def put_key(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    """Add or replace keys; `data` is that of the whole chain."""
    require_authenticated(call)
    replaces, first = call.command.p1 & 0x7F, call.command.p2 & 0x7F
    if call.command.p1 == FACTORY:
        replaces = FACTORY
    with refusing_malformed("PUT KEY"):
        cursor = Cursor(data)
        version = cursor.byte()
        keys: list[Key] = []
        answer = bytes((version,))
        while not cursor.at_end:
            key, check = _read_key(call, cursor, (version, first + len(keys)))
            keys.append(key)
            answer += check
    if not keys or (len(keys) > 1) > bool(call.command.p2 & SEVERAL):
        raise CardRefusal(Sw.WRONG_DATA, "P2 tells whether there is one key or several (11.8.2.2)")
    store_keys(card, call, keys, replaces)
    return ResponseApdu(answer, Sw.SUCCESS)


def store_keys(card: CardParts, call: CardCall, keys: list[Key], replaces: int) -> None:
    """Check versions and identifiers, and keep the keys."""
    domain, version = call.domain, keys[0].version
    if not 1 <= version <= 0x7F:
        raise CardRefusal(Sw.WRONG_DATA, "a key version is 01 to 7F (GPCS 11.8.2.3)")
    for key in keys:
        there = card.keys.find(domain.aid, replaces or version, key.identifier)
        if replaces and there is None:
            raise CardRefusal(
                Sw.REFERENCE_NOT_FOUND, f"no key {replaces:02X}/{key.identifier:02X} to replace"
            )
        if there is not None and not replaces:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED,
                f"key {version:02X}/{key.identifier:02X} is there; P1 says add (11.8.2.1)",
            )
        if replaces not in {0, version} and card.keys.find(domain.aid, version, key.identifier):
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED, f"version {version:02X} is taken by another key"
            )
    own = card.keys.find_set(domain.aid, 0) is not None
    card.keys.put(domain.aid, keys, replaces=replaces)
    if replaces not in {0, version}:
        for key in keys:
            card.certificates.forget(domain.aid, key.identifier, replaces)
    if card.profile.drops_factory_keys and keys[0].part(KeyType.AES) and keys[0].identifier == 1:
        card.keys.remove(domain.aid, version=FACTORY)
    if domain.kind is Kind.DOMAIN and not own and card.keys.find_set(domain.aid, 0) is not None:
        card.content.personalised(domain)


def _read_key(call: CardCall, cursor: Cursor, name: tuple[int, int]) -> tuple[Key, bytes]:
    """Return the key of version and identifier `name`, and the check value to answer with."""
    if name[1] > 0x7F:
        raise CardRefusal(Sw.WRONG_DATA, "a key identifier is at most 7F")
    parts: list[KeyPart] = []
    domain: list[tuple[int, bytes]] = []
    check = b""
    extended = cursor.rest[:1] == bytes((EXTENDED,))
    while True:
        # A part's type, or else the length of the check value that ends the key.
        if not cursor.rest:
            raise CardRefusal(Sw.WRONG_DATA, "the key has no check value, not even an empty one")
        head = cursor.rest[: 1 + extended]
        marked = not extended or head[0] == EXTENDED
        if marked and head[-1] in PARAMETERS:
            domain.append(_component(cursor, extended=extended))
        elif marked and head[-1] in _TYPES:
            kind, value = _component(cursor, extended=extended)
            part, check = _read_part(call, KeyType(kind), value, check)
            parts.append(part)
        else:
            claimed = cursor.take(cursor.byte())
            # GPCS 2.1.1 had a check value, empty for public parts, after each part of a key.
            if claimed or extended or cursor.at_end or call.command.p2 & SEVERAL:
                break
    if extended:
        _check_use(name[1], cursor.take(cursor.byte()), cursor.take(cursor.byte()))
    if domain:
        parts.append(KeyPart(KeyType.EC_PARAMETERS, bytes((reference_of(domain),))))
    key = Key(*name, tuple(parts))
    _check_key(key)
    if not claimed and key.part(KeyType.AES) is not None:
        raise CardRefusal(Sw.WRONG_DATA, "an AES key comes with a check value (GPCS 11.8.2.3.3)")
    if claimed and (not check or not hmac.compare_digest(claimed, check)):
        raise CardRefusal(Sw.WRONG_DATA, "the key check value does not match (GPCS B.6)")
    return key, check if claimed else b""


def _component(cursor: Cursor, *, extended: bool) -> tuple[int, bytes]:
    """Return a component's type and its bytes, in the basic or the extended format."""
    if extended:
        cursor.byte()
        kind = cursor.byte()
        return kind, cursor.take(int.from_bytes(cursor.take(2), "big"))
    return cursor.byte(), cursor.take(_part_length(cursor))


def _check_use(identifier: int, usage: bytes, access: bytes) -> None:
    """Return if the card keeps to what the extended format says of a key; else refuse the key."""
    if usage and usage != USAGE.get(identifier):
        raise CardRefusal(
            Sw.WRONG_DATA,
            "the card does not bind this key to that usage (table 11-17): 38, 34 and 48 of the keys"
            " 01, 02 and 03, or none",
        )
    if access not in ACCESS:
        raise CardRefusal(
            Sw.WRONG_DATA, "keys are for their security domain (table 11-18): 01, 00 or none"
        )


def _part_length(cursor: Cursor) -> int:
    """Return a part's length; 80 alone is 128, as clients write the modulus of RSA-1024."""
    if cursor.rest[:1] == b"\x80":
        return cursor.byte()
    return cursor.length(strict=False)


def _read_part(call: CardCall, kind: KeyType, value: bytes, check: bytes) -> tuple[KeyPart, bytes]:
    if kind not in SECRET:
        return KeyPart(kind, value), check
    authentication = call.channel.authentication
    assert authentication is not None  # require_authenticated has looked
    size = len(value)
    if size % _BLOCK:
        inner = Cursor(value)
        size, value = _part_length(inner), inner.rest
    if not value or len(value) % _BLOCK or not len(value) - _BLOCK < size <= len(value):
        raise CardRefusal(Sw.WRONG_DATA, "an encrypted key is whole blocks, its length before them")
    # What fills the last block is up to the host (11.8.2.3.2; Amendment D, 7.2.1).
    plain = decrypt_key(authentication.session.dek, value)[:size]
    if kind is KeyType.AES and size in AES_SIZES:
        check = key_check_value(plain)
    return KeyPart(kind, plain), check


def _check_key(key: Key) -> None:
    kinds = [part.type for part in key.parts]
    match kinds:
        case [KeyType.AES]:
            if len(key.parts[0].value) not in AES_SIZES:
                raise CardRefusal(Sw.WRONG_DATA, "an AES key has 16, 24 or 32 bytes")
        case [KeyType.EC_PRIVATE] | [KeyType.EC_PRIVATE, KeyType.EC_PARAMETERS]:
            public_point(key)
        case [KeyType.RSA_PRIVATE_MODULUS, KeyType.RSA_PRIVATE_EXPONENT]:
            load_rsa_private(key)
        case (
            [KeyType.EC_PUBLIC]
            | [KeyType.EC_PUBLIC, KeyType.EC_PARAMETERS]
            | [KeyType.RSA_MODULUS, KeyType.RSA_EXPONENT]
            | [KeyType.RSA_EXPONENT, KeyType.RSA_MODULUS]
        ):
            load_public(key)
        case _:
            raise CardRefusal(Sw.WRONG_DATA, "no key has these parts")


def private_key(key: Key) -> ec.EllipticCurvePrivateKey:
    """Return the EC private key that an entry holds; raise `CardRefusal` for another kind."""
    scalar = key.part(KeyType.EC_PRIVATE)
    reference = int.from_bytes(key.part(KeyType.EC_PARAMETERS) or b"\0", "big")
    if scalar is None or reference not in CURVES:
        raise CardRefusal(Sw.WRONG_DATA, "not an EC private key on a known curve")
    try:
        return ec.derive_private_key(int.from_bytes(scalar, "big"), CURVES[reference]())
    except ValueError as error:
        raise CardRefusal(Sw.WRONG_DATA, "not an EC private key of its curve") from error


def public_point(key: Key) -> bytes:
    """Return the uncompressed public point of an EC private key."""
    public = private_key(key).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def new_key(card: CardParts, version: int, identifier: int, reference: bytes) -> Key:
    """Return a fresh EC private key on the curve that `reference` names."""
    curve = CURVES.get(int.from_bytes(reference, "big"))
    if curve is None or len(reference) != 1:
        raise CardRefusal(Sw.WRONG_DATA, "no such key parameter reference")
    bits = curve().key_size
    size = (bits + 7) // 8
    while True:
        scalar = int.from_bytes(card.random(size), "big") >> (8 * size - bits)
        try:
            ec.derive_private_key(scalar, curve())
        except ValueError:
            continue  # not below the group's order: draw again, so that none is likelier
        break
    parts = (
        KeyPart(KeyType.EC_PRIVATE, scalar.to_bytes(size, "big")),
        KeyPart(KeyType.EC_PARAMETERS, reference),
    )
    return Key(version, identifier, parts)
