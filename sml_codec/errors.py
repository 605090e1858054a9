# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with SML.

SmlError
├── MalformedSml        bytes are not the SML they claim to be; carries `offset`
│   └── LimitExceeded   they might be, but are larger than the caller allows
├── ChecksumMismatch    a message or frame was damaged on its way; carries `offset`
├── UnsupportedVersion  a start sequence of transport protocol version 2; carries `offset`
├── EncodingError       a value that SML cannot carry: a bug on this side
└── SessionError        a request stayed without its answer
    ├── ConnectionLost  the line ended first
    └── RequestRefused  the server answered with an attention; carries it (in `dialogue`)
"""


class SmlError(Exception):
    """Base of all errors of this package."""


class MalformedSml(SmlError):
    """Bytes are not the SML they claim to be."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class LimitExceeded(MalformedSml):
    """Larger or deeper than the caller's `Limits` allow."""


class ChecksumMismatch(SmlError):
    """A checksum is wrong: damaged on its way."""

    def __init__(self, what: str, *, offset: int) -> None:
        super().__init__(f"{what}: wrong checksum (at byte {offset})")
        self.offset = offset


class UnsupportedVersion(SmlError):
    """A start sequence of the transport protocol's version 2, which no known meter sends."""

    def __init__(self, *, offset: int) -> None:
        super().__init__(f"SML transport protocol version 2 (at byte {offset})")
        self.offset = offset


class EncodingError(SmlError):
    """A value that SML cannot carry."""


class SessionError(SmlError):
    """A request stayed without its answer."""


class ConnectionLost(SessionError):
    """The line ended before the answer came."""
