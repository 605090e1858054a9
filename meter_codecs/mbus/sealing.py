# SPDX-License-Identifier: Apache-2.0
"""Enciphered telegrams, made as a meter makes them: for simulators and tests.

Each function returns the payload of a frame. No counter is kept here: a meter must not use a
message counter, or an access number with the same values behind it, twice.
"""

from __future__ import annotations

from meter_codecs.mbus.address import Address
from meter_codecs.mbus.crc import crc16
from meter_codecs.mbus.errors import EncodingError
from meter_codecs.mbus.keys import BLOCK, MeterKey
from meter_codecs.mbus.layers import AES_CCM, Authentication, ExtendedLink, Header

_MOST_BLOCKS = 15
_FRAGMENT = 0x2C00  # message control, counter and MAC are there; not a fragment
_CMAC_8 = 0x25  # the counter is part of the message; AES-CMAC, eight bytes


def _padded(body: bytes) -> bytes:
    plain = b"\x2f\x2f" + body
    plain += b"\x2f" * (-len(plain) % BLOCK)
    if len(plain) > _MOST_BLOCKS * BLOCK:
        raise EncodingError(f"{len(body)} bytes do not fit into {_MOST_BLOCKS} blocks")
    return plain


def _ci(header: Header) -> bytes:
    return b"\x72" if header.address else b"\x7a"


def seal_mode_5(
    meter: Address,
    body: bytes,
    key: MeterKey,
    *,
    access: int,
    status: int = 0,
    long_header: bool = False,
    clear: bytes = b"",
) -> bytes:
    """Return records enciphered by AES-CBC; `clear` are records that follow in clear."""
    plain = _padded(body)
    configuration = 5 << 8 | len(plain) // BLOCK << 4
    header = Header(access, status, configuration, meter if long_header else None)
    start = meter.encode_link() + bytes([access]) * 8
    return _ci(header) + header.encode() + key.encrypt_cbc(start, plain) + clear


def seal_mode_7(
    meter: Address,
    body: bytes,
    key: MeterKey,
    *,
    counter: int,
    access: int,
    status: int = 0,
    long_header: bool = False,
    clear: bytes = b"",
) -> bytes:
    """Return records enciphered and authenticated by keys derived for one message counter."""
    plain = _padded(body)
    configuration = 7 << 8 | len(plain) // BLOCK << 4
    address = meter if long_header else None
    header = Header(access, status, configuration, address, b"\x10")
    cipher = key.derive(0, counter, meter.number).encrypt_cbc(bytes(BLOCK), plain)
    content = _ci(header) + header.encode() + cipher + clear
    layer = Authentication(_FRAGMENT, control=_CMAC_8, counter=counter)
    mac = key.derive(1, counter, meter.number).mac(layer.authenticated() + content)[:8]
    return Authentication(_FRAGMENT, _CMAC_8, None, counter, mac).encode() + content


def seal_mode_10(
    meter: Address,
    body: bytes,
    key: MeterKey,
    *,
    counter: int,
    access: int,
    status: int = 0,
    long_header: bool = False,
) -> bytes:
    """Return records under AES-CCM by a key derived for one message counter."""
    extension = b"\x10\x01" + counter.to_bytes(4, "little")
    configuration = 0x2000 | AES_CCM << 8 | 0xFF
    header = Header(access, status, configuration, meter if long_header else None, extension)
    clear = _ci(header) + header.encode()
    nonce = meter.encode_link() + b"\0" + counter.to_bytes(4, "big")
    return clear + key.derive(0, counter, meter.number).seal_ccm(nonce, body, clear[:-4])


def seal_session(
    meter: Address,
    payload: bytes,
    key: MeterKey | None,
    *,
    control: int,
    access: int,
    session: int,
    peer: Address | None = None,
) -> bytes:
    """Return a payload under the extended link layer, by AES-CTR; in clear without a key.

    The three highest bits of `session` say which; they are set here. `peer` is who it is for.
    """
    session = session & 0x1FFFFFFF | (0x20000000 if key else 0)
    other = peer.encode_link() if peer else b""
    layer = ExtendedLink(0x8F if peer else 0x8D, control, access, other, session)
    content = crc16(payload).to_bytes(2, "little") + payload
    if key is not None:
        start = meter.encode_link() + bytes([control]) + session.to_bytes(4, "little") + bytes(3)
        content = key.apply_ctr(start, content)
    return layer.encode() + content
