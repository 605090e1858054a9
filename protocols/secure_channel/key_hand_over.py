# SPDX-License-Identifier: Apache-2.0
"""A domain's first keys, agreed with their owner while a third party carries the messages.

GPC Amendment A, scenario 3 (ECKA-EG): whoever manages the card sends the request and sees all that
crosses, and does not learn the keys.

    owner -> card   DGI 00A6 {A6 {90 03 params, 95 10, 96 access, 80 88, 81 length, 82 01,
                               83 version, 91 counter, 45 image number, 84 owner's name}}
                    DGI 7F49  owner's ephemeral point
    card -> owner   85 random bytes of the card's    86 receipt

    params      01 the domain's other keys go, 02 with random bytes, 04 with the names of both
    Z           ECDH(owner's ephemeral key, key of the controlling authority's domain), x alone
    receipt key | ENC | MAC | DEK = X9.63-KDF(Z, 10 | 88 | length | random bytes | names)
    names       length and value of the owner's name, of tag 42 and of tag 45
    receipt     CMAC(receipt key, A6 .. | 85 ..)

Binding: only the card that holds the authority's key can make the receipt, and the receipt covers
the request as it came. Secret while nobody else knows that key or the owner's ephemeral one. The
owner is not authenticated here: that is for the session in which the request comes.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.keys import AES_SIZES, StaticKeys, cmac
from protocols.secure_channel.scp11 import encode_point

REQUEST_GROUP, POINT_GROUP = 0x00A6, 0x7F49
SCENARIO: Final = 3
REPLACES, WITH_RANDOM, WITH_NAMES = 0x01, 0x02, 0x04
RANDOM_SIZE: Final = 16
CURVE_SIZE: Final = 256
"""Bits: of longer curves it is not agreed how many random bytes the card adds."""
_USAGE: Final = b"\x10"
_AES: Final = b"\x88"
_FIRST: Final = b"\x01"
_OPEN: Final = frozenset({b"\x00", b"\x01"})
REFERENCE, PARAMETERS, USAGE, ACCESS, KEY_TYPE, KEY_LENGTH = 0xA6, 0x90, 0x95, 0x96, 0x80, 0x81
IDENTIFIER, VERSION, COUNTER, IMAGE, NAME = 0x82, 0x83, 0x91, 0x45, 0x84
RANDOM, RECEIPT = 0x85, 0x86
_ORDER: Final = (
    PARAMETERS, USAGE, ACCESS, KEY_TYPE, KEY_LENGTH, IDENTIFIER, VERSION, COUNTER, IMAGE, NAME,
)  # fmt: skip
_NEEDED: Final = frozenset({PARAMETERS, USAGE, KEY_TYPE, KEY_LENGTH, VERSION})


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What an owner asks for: three keys of one size and version."""

    version: int
    key_size: int = 16
    parameters: int = WITH_RANDOM
    image: bytes = b""
    """The image number (45) of the domain that is meant; empty where it is not named."""
    name: bytes = b""
    """The owner's, where names go into the keys."""
    raw: bytes = field(default=b"", repr=False)
    """As it came, which is what the receipt covers."""

    def encode(self) -> bytes:
        """Return the value of DGI 00A6."""
        if self.raw:
            return self.raw
        nodes = [
            Tlv(PARAMETERS, bytes((SCENARIO, self.parameters))),
            Tlv(USAGE, _USAGE),
            Tlv(KEY_TYPE, _AES),
            Tlv(KEY_LENGTH, bytes((self.key_size,))),
            Tlv(IDENTIFIER, _FIRST),
            Tlv(VERSION, bytes((self.version,))),
        ]
        nodes += [Tlv(IMAGE, self.image)] if self.image else []
        nodes += [Tlv(NAME, self.name)] if self.parameters & WITH_NAMES else []
        return Tlv.of(REFERENCE, nodes).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a request strictly; raise `RemoteChannelError` for any other."""
        try:
            outer = list(Tlv.decode_all(data))
            nodes = list(Tlv.decode_all(outer[0].value)) if len(outer) == 1 else []
        except MalformedTlv as error:
            raise RemoteChannelError(f"the request for keys: {error}") from error
        fields = {node.tag: node.value for node in nodes}
        tags = [node.tag for node in nodes]
        if not nodes or outer[0].tag != REFERENCE or not fields.keys() >= _NEEDED:
            raise RemoteChannelError("the request for keys (A6) lacks 90, 95, 80, 81 or 83")
        if tags != [tag for tag in _ORDER if tag in fields]:
            raise RemoteChannelError(
                "the request for keys has other fields than 90 95 96 80 81 82 83 91 45 84, or in"
                " another order"
            )
        scenario = fields[PARAMETERS]
        if len(scenario) != 2 or scenario[0] != SCENARIO:
            raise RemoteChannelError("of the scenarios of Amendment A only 3 is known here")
        if scenario[1] & ~(REPLACES | WITH_RANDOM | WITH_NAMES):
            raise RemoteChannelError("parameters of scenario 3 are 01, 02 and 04")
        size, version = fields[KEY_LENGTH], fields[VERSION]
        known = (
            fields[USAGE] == _USAGE
            and fields[KEY_TYPE] == _AES
            and fields.get(IDENTIFIER, _FIRST) == _FIRST
            and fields.get(ACCESS, b"\x00") in _OPEN
            and len(size) == len(version) == 1
            and size[0] in AES_SIZES
            and not any(fields.get(COUNTER, b""))
            and (NAME in fields) == bool(scenario[1] & WITH_NAMES)
            and fields.get(NAME, b"\x00") != b""
            and fields.get(IMAGE, b"\x00") != b""
        )
        if not known:
            raise RemoteChannelError(
                "the request is for other keys than the three AES keys of SCP03 (usage 10, type 88,"
                " from identifier 01, counter 0)"
            )
        return cls(
            version[0],
            size[0],
            scenario[1],
            fields.get(IMAGE, b""),
            fields.get(NAME, b""),
            data,
        )


@dataclass(frozen=True, slots=True)
class AgreedKeys:
    """What both sides come to."""

    keys: StaticKeys
    receipt: bytes

    @classmethod
    def of(
        cls, request: KeyRequest, secret: bytes, random: bytes, card_names: Sequence[bytes]
    ) -> Self:
        """Derive the keys; `card_names` are the values of tags 42 and 45."""
        shared = _USAGE + _AES + bytes((request.key_size,)) + random
        if request.parameters & WITH_NAMES:
            shared += encode_lv(request.name, *card_names)
        size = request.key_size
        block = X963KDF(hashes.SHA256(), 4 * size, shared).derive(secret)
        first, enc, mac, dek = (block[n : n + size] for n in range(0, 4 * size, size))
        covered = request.encode() + (Tlv(RANDOM, random).encode() if random else b"")
        return cls(StaticKeys(enc, mac, dek), cmac(first, covered))


class KeyOwner:
    """Whoever the keys are for, before and after the request has travelled."""

    def __init__(self, request: KeyRequest, ephemeral: ec.EllipticCurvePrivateKey) -> None:
        """`ephemeral` is a fresh key on the curve of the authority's."""
        self._request, self._ephemeral = request, ephemeral

    def groups(self) -> bytes:
        """Return the two DGIs for STORE DATA."""
        point = encode_point(self._ephemeral)
        return data_group(REQUEST_GROUP, self._request.encode()) + data_group(POINT_GROUP, point)

    def receive(
        self, answer: bytes, authority: ec.EllipticCurvePublicKey, card_names: Sequence[bytes] = ()
    ) -> StaticKeys:
        """Return the keys if the card's receipt is right; raise `RemoteChannelError` otherwise.

        `authority` is the key in the certificate (7F21) of the controlling authority's domain.
        """
        with_random = bool(self._request.parameters & WITH_RANDOM)
        try:
            fields = Tlv.decode_map(answer)
        except MalformedTlv as error:
            raise RemoteChannelError(f"the card's receipt: {error}") from error
        random = fields.get(RANDOM, b"")
        expected = [RANDOM, RECEIPT] if with_random else [RECEIPT]
        if list(fields) != expected or len(random) != RANDOM_SIZE * with_random:
            raise RemoteChannelError("the card's answer has other fields than 85 and 86")
        secret = self._ephemeral.exchange(ec.ECDH(), authority)
        agreed = AgreedKeys.of(self._request, secret, random, card_names)
        if not hmac.compare_digest(agreed.receipt, fields[RECEIPT]):
            raise RemoteChannelError("the receipt is wrong: the card does not hold the key")
        return agreed.keys


def data_group(name: int, value: bytes) -> bytes:
    """Return a value under a name of two bytes (DGI), as STORE DATA has them."""
    size = len(value)
    length = bytes((size,)) if size < 0xFF else b"\xff" + size.to_bytes(2, "big")
    return name.to_bytes(2, "big") + length + value
