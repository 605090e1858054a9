# SPDX-License-Identifier: Apache-2.0
"""AES-GCM of enciphered telegrams (DLMS, security suites 0 to 2).

The initialization vector is system title and counter; what is authenticated beside the ciphertext
is the security byte and the authentication key. Luxembourg's authentication key is public and the
same for all meters: the enciphering key alone is a household's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, GCM

from meter_codecs.p1.envelope import (
    AUTHENTICATED,
    ENCIPHERED,
    TAG_SIZE,
    Ciphering,
    Envelope,
    Opened,
)
from meter_codecs.p1.errors import CannotDecipher, EncodingError
from meter_codecs.p1.telegram import Telegram

LUXEMBOURG: Final = bytes.fromhex("00112233445566778899aabbccddeeff")
"""The authentication key that all of Luxembourg's meters share."""


@dataclass(frozen=True, slots=True)
class P1Keys:
    """The two keys of a meter's P1 port."""

    enciphering: bytes = field(repr=False)
    authentication: bytes | None = field(default=None, repr=False)
    """None if it is not known: Luxembourg's is tried, and what it does not fit is not checked."""

    def __post_init__(self) -> None:
        for name, key in (
            ("enciphering", self.enciphering),
            ("authentication", self.authentication),
        ):
            if key is not None and len(key) not in {16, 32}:
                raise EncodingError(f"the {name} key has 16 bytes (or 32), not {len(key)}")

    def decipher(self, envelope: Envelope) -> Opened:
        """Return what is inside; raise `CannotDecipher` if it was not made with these keys."""
        vector = envelope.system_title + envelope.counter.to_bytes(4, "big")
        if not envelope.security & AUTHENTICATED:
            return Opened(self._without_tag(vector, envelope.content), None)
        beside = bytes([envelope.security]) + (self.authentication or LUXEMBOURG)
        is_enciphered = bool(envelope.security & ENCIPHERED)
        mode = GCM(vector, envelope.tag, min_tag_length=TAG_SIZE)
        work = Cipher(AES(self.enciphering), mode).decryptor()
        work.authenticate_additional_data(beside if is_enciphered else beside + envelope.content)
        try:
            plain = work.update(envelope.content if is_enciphered else b"") + work.finalize()
        except InvalidTag:
            if self.authentication is None and is_enciphered:
                return Opened(self._without_tag(vector, envelope.content), None)
            raise CannotDecipher(self._why(vector, envelope), is_forged=True) from None
        return Opened(plain if is_enciphered else envelope.content, True)

    def encipher(self, telegram: Telegram, ciphering: Ciphering) -> bytes:
        """Return the frame with a telegram in it; a counter must never be used twice."""
        plain = telegram.encode() + ciphering.trailer
        vector = ciphering.system_title + ciphering.counter.to_bytes(4, "big")
        is_enciphered = bool(ciphering.security & ENCIPHERED)
        work = Cipher(AES(self.enciphering), GCM(vector)).encryptor()
        beside = bytes([ciphering.security]) + (self.authentication or LUXEMBOURG)
        work.authenticate_additional_data(beside if is_enciphered else beside + plain)
        content = work.update(plain) if is_enciphered else plain
        work.finalize()
        tag = work.tag[:TAG_SIZE] if ciphering.security & AUTHENTICATED else b""
        return Envelope(
            ciphering.system_title,
            ciphering.security,
            ciphering.counter,
            content,
            tag,
            ciphering.length_octets,
        ).encode()

    def _without_tag(self, vector: bytes, content: bytes) -> bytes:
        """Return what GCM's counter mode makes of bytes, unchecked."""
        work = Cipher(AES(self.enciphering), CTR(vector + (2).to_bytes(4, "big"))).decryptor()
        return work.update(content) + work.finalize()

    def _why(self, vector: bytes, envelope: Envelope) -> str:
        """Say which key is wrong: the enciphering key alone decides how the inside looks."""
        plain = self._without_tag(vector, envelope.content)
        if envelope.security & ENCIPHERED and plain[:1] == b"/" and plain[:5].isascii():
            return (
                "the authentication key is wrong, or the frame was changed; the other key is right"
            )
        return "the enciphering key is wrong, or the frame was damaged"
