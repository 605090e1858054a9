# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with M-Bus.

MbusError
├── MalformedMbus           bytes are not the M-Bus they claim to be; carries `offset`
│   └── CutOff              a radio frame that ends before its length says
├── ChecksumMismatch        a frame was damaged on its way; carries `offset`
├── EncodingError           a value that M-Bus cannot carry: a bug on this side
├── SecurityError           an enciphered telegram that cannot be read
│   ├── KeyMissing          no key was given for this meter
│   ├── WrongKey            the key does not open it
│   ├── ForgedMessage       the key opens it, but its authentication code is wrong
│   └── UnsupportedMode     enciphered in a way that is known by name only
├── UnknownFormat           a compact frame whose format no full frame has shown yet
├── UnreadContent           whole, and in a language that is known by name only; carries `ci`
└── SessionError            a master's request stayed without a usable answer
    ├── NoAnswer            nothing came
    ├── Collision           bytes came, but no frame: several slaves spoke
    └── RequestRefused      the slave answered with an error of its application
"""


class MbusError(Exception):
    """Base of all errors of this package."""


class MalformedMbus(MbusError):
    """Bytes are not the M-Bus they claim to be."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class CutOff(MalformedMbus):
    """A radio frame ends before its length says."""


class ChecksumMismatch(MbusError):
    """A checksum is wrong: damaged on its way."""

    def __init__(self, what: str, *, offset: int) -> None:
        super().__init__(f"{what}: wrong checksum (at byte {offset})")
        self.offset = offset


class EncodingError(MbusError):
    """A value that M-Bus cannot carry."""


class SecurityError(MbusError):
    """An enciphered telegram that cannot be read."""


class KeyMissing(SecurityError):
    """No key was given for this meter."""


class WrongKey(SecurityError):
    """The key does not open the telegram."""


class ForgedMessage(SecurityError):
    """The key opens the telegram, but its authentication code is wrong."""


class UnsupportedMode(SecurityError):
    """Enciphered in a way that is known by name only."""


class UnknownFormat(MbusError):
    """A compact frame whose format no full frame has shown yet."""


class UnreadContent(MbusError):
    """A telegram is whole, and its content is a maker's own, or no values at all."""

    def __init__(self, reason: str, *, ci: int) -> None:
        super().__init__(reason)
        self.ci = ci


class SessionError(MbusError):
    """A master's request stayed without a usable answer."""


class NoAnswer(SessionError):
    """Nothing came."""


class Collision(SessionError):
    """Bytes came, but no frame: several slaves spoke at once, or the line is bad."""


class RequestRefused(SessionError):
    """The slave answered with an error of its application."""
