# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with DLMS/COSEM.

DlmsError
├── MalformedDlms           bytes are not the DLMS they claim to be; carries `offset`
│   └── LimitExceeded       they might be, but are larger or deeper than the caller allows
├── EncodingError           a value that DLMS cannot carry: a bug on this side
├── SecurityError           a protected message that is not to be read
│   ├── MissingKey          a key, or the sender's system title, is needed and was not given
│   ├── WrongKey            the encryption key is not the sender's
│   ├── WrongAuthenticationKey  the text can be read, but its tag is wrong
│   ├── UnprotectedMessage  less protection than the caller asks for
│   ├── ReplayedCounter     the counter is not above the last one
│   ├── CounterExhausted    a key has protected all the messages that it may
│   └── NotTheMeter         who answers does not know the secret, or says our own words
├── AccessRefused           an object of a server does not do what it was asked
└── DialogueError           a dialogue that went wrong
    ├── NoAnswer            nothing came in time
    ├── ConnectionLost      the connection ended before the answer
    ├── UnexpectedAnswer    the answer does not belong to the request
    ├── AssociationRefused  the meter takes no association
    │   └── WrongPassword   because the password or the secret is wrong
    ├── ServiceRefused      the meter does not take a request at all
    └── RequestRefused      the meter does not read, write or do it; carries `result`
        └── ObjectUndefined there is no such object

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


class CounterExhausted(SecurityError):
    """A key has protected all the messages that it may: the meter needs another."""


class NotTheMeter(SecurityError):
    """Who answers cannot prove to be the meter."""


class AccessRefused(DlmsError):
    """An object of a server does not do what it was asked; `result` says why."""

    def __init__(self, result: int) -> None:
        super().__init__(f"refused: result {result}")
        self.result = result


class DialogueError(DlmsError):
    """A dialogue that went wrong."""


class NoAnswer(DialogueError):
    """Nothing came in time."""


class ConnectionLost(DialogueError):
    """The connection ended before the answer."""


class UnexpectedAnswer(DialogueError):
    """The answer does not belong to the request."""


class AssociationRefused(DialogueError):
    """The meter takes no association."""


class WrongPassword(AssociationRefused):
    """The meter takes no association, because the password or the secret is wrong."""


class ServiceRefused(DialogueError):
    """The meter does not take a request at all: it answered with an exception."""


class RequestRefused(DialogueError):
    """The meter does not read, write or do what it was asked; `result` is its reason."""

    def __init__(self, what: str, reason: str, result: int) -> None:
        super().__init__(f"{what}: {reason}")
        self.result = result


class ObjectUndefined(RequestRefused):
    """The meter has no such object."""
