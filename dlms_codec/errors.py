# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with DLMS/COSEM.

DlmsError
├── MalformedDlms           bytes are not the DLMS they claim to be; carries `offset`
│   └── LimitExceeded       they might be, but are larger or deeper than the caller allows
├── EncodingError           a value that DLMS cannot carry: a bug on this side
└── SecurityError           a protected message that is not to be read
    ├── MissingKey          a key, or the sender's system title, is needed and was not given
    ├── WrongKey            the encryption key is not the sender's
    ├── WrongAuthenticationKey  the text can be read, but its tag is wrong
    ├── UnprotectedMessage  less protection than the caller asks for
    └── ReplayedCounter     the counter is not above the last one

No error carries a key or a deciphered text.
"""


class DlmsError(Exception):
    """Base of all errors of this package."""


class MalformedDlms(DlmsError):
    """Bytes are not the DLMS they claim to be."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class LimitExceeded(MalformedDlms):
    """Larger or deeper than allowed."""


class EncodingError(DlmsError):
    """A value that DLMS cannot carry."""


class SecurityError(DlmsError):
    """A protected message that is not to be read."""


class MissingKey(SecurityError):
    """A key, or the sender's system title, is needed and was not given."""


class WrongKey(SecurityError):
    """The encryption key is not the sender's: what comes out is no message."""


class WrongAuthenticationKey(SecurityError):
    """The text can be read with the encryption key, but its tag is wrong."""


class UnprotectedMessage(SecurityError):
    """A message has less protection than the caller asks for."""


class ReplayedCounter(SecurityError):
    """A counter is not above the last one: the message was sent before."""

    def __init__(self, counter: int, last: int) -> None:
        super().__init__(f"counter {counter} is not above {last}, the last one")
        self.counter = counter
        self.last = last
