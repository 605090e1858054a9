# SPDX-License-Identifier: Apache-2.0
"""Certificates of hosts that open channels by SCP11."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.iso7816.tlv import Tlv


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def own_certificate(
    key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, serial: bytes = b"\1\2\3"
) -> bytes:
    """A certificate in GlobalPlatform's form (Amendment F, 6.1)."""
    public = Tlv.of(0x7F49, [Tlv(0xB0, point(key)), Tlv(0xF0, b"\0")])
    nodes = [Tlv(0x93, serial), Tlv(0x42, b"\xa1\xa2\xa3"), Tlv(0x5F20, b"\xb1"),
             Tlv(0x95, b"\x00\x80"), Tlv(0x5F24, b"\x20\x30\x12\x31"), public]  # fmt: skip
    signed = b"".join(node.encode() for node in nodes)
    r, s = decode_dss_signature(signer.sign(signed, ec.ECDSA(hashes.SHA256())))
    nodes.append(Tlv(0x5F37, r.to_bytes(32, "big") + s.to_bytes(32, "big")))
    return Tlv.of(0x7F21, nodes).encode()
