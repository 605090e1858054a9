# SPDX-License-Identifier: Apache-2.0
"""What a client proposes to a meter, and demands of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.initiate import Conformance
from dlms_codec.authentication import NOBODY, PROVED, Credentials, check_suite
from dlms_codec.errors import EncodingError
from dlms_codec.options import DEFAULT_LIMITS, Limits
from dlms_codec.protection import AUTHENTICATED, ENCRYPTED
from dlms_codec.secure_messaging import check_keys
from dlms_codec.security import Keys
from dlms_codec.stream import NO_KEYS

PROPOSED: Final = (
    Conformance.GENERAL_PROTECTION
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.ACCESS
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.ACTION
)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client proposes and demands; without keys or without policy, messages go plain."""

    credentials: Credentials = NOBODY
    keys: Keys = NO_KEYS
    system_title: bytes = b""
    """Of the client: 8 bytes."""
    suite: int = 0
    policy: int = AUTHENTICATED | ENCRYPTED
    dedicated: bool = False
    """Make a key for this association alone."""
    general: bool = False
    """Protect with general-glo-ciphering instead of each service by its own."""
    meter_title: bytes | None = None
    """The meter's system title, where it is known: another is refused."""
    longest: int = 0xFFFF
    conformance: Conformance = PROPOSED
    limits: Limits = DEFAULT_LIMITS

    @property
    def protects(self) -> bool:
        """Whether messages are protected."""
        return self.keys.encryption is not None and self.policy != 0

    def __post_init__(self) -> None:
        named = self.protects or self.credentials.mechanism in PROVED - {
            Mechanism.MD5,
            Mechanism.SHA1,
        }
        if len(self.system_title) != 8 and (named or self.system_title):
            raise EncodingError("the system title of the client has 8 bytes")
        check_keys(self.keys, self.suite)
        check_suite(self.credentials, self.suite)

    @property
    def needs_counter(self) -> bool:
        """Whether the client sends something with a key."""
        return self.protects or self.credentials.mechanism is Mechanism.GMAC
