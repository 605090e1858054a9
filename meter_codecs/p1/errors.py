# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with P1.

P1Error
├── MalformedP1         bytes are not the telegram they claim to be; carries `offset`
├── ChecksumMismatch    damaged on its way; carries `offset`
├── CannotDecipher      no key, a wrong key, or enciphered bytes that were changed
├── EncodingError       a telegram that cannot be sent: a bug on this side
└── SessionError        a meter did not answer as IEC 62056-21 says
"""


class P1Error(Exception):
    """Base of all errors of this package."""


class MalformedP1(P1Error):
    """Bytes are not the telegram they claim to be."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class ChecksumMismatch(P1Error):
    """A checksum is wrong: damaged on its way."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class CannotDecipher(P1Error):
    """An enciphered telegram stays closed; `is_forged` says that its tag was tried and is wrong."""

    def __init__(self, reason: str, *, is_forged: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_forged = is_forged


class EncodingError(P1Error):
    """A telegram that cannot be sent."""


class SessionError(P1Error):
    """A meter did not answer as IEC 62056-21 says."""
