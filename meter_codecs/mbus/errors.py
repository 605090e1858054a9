# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with M-Bus.

MbusError
├── MalformedMbus           bytes are not the M-Bus they claim to be; carries `offset`
├── ChecksumMismatch        a frame was damaged on its way; carries `offset`
├── EncodingError           a value that M-Bus cannot carry: a bug on this side
├── SecurityError           an enciphered telegram that cannot be read
│   ├── KeyMissing          no key was given for this meter
│   ├── WrongKey            the key does not open it
│   ├── ForgedMessage       the key opens it, but its authentication code is wrong
│   └── UnsupportedMode     enciphered in a way that is known by name only
├── UnknownFormat           a compact frame whose format no full frame has shown yet
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


class SessionError(MbusError):
    """A master's request stayed without a usable answer."""


class NoAnswer(SessionError):
    """Nothing came."""


class Collision(SessionError):
    """Bytes came, but no frame: several slaves spoke at once, or the line is bad."""


class RequestRefused(SessionError):
    """The slave answered with an error of its application."""
