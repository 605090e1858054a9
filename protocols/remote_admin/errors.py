# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between an agent and its administration server.

RemoteAdminError
  MalformedScript       bytes are not a script of ETSI TS 102 226 in expanded format
  MalformedTarget       text is not the name of an application
  MalformedParameters   bytes are not a trigger or a stored set of parameters
  ProtocolViolated      the other end sent what the protocol does not allow at this point
    ServerRefused       the server has answered with the status of an error
  SequenceError         our own caller called out of turn: a bug on this side
"""

from typing import Final


class RemoteAdminError(Exception):
    """Base of all errors of remote administration."""


class MalformedScript(RemoteAdminError):
    """Bytes are not a script."""


class MalformedTarget(RemoteAdminError):
    """Text is not the name of an application."""


class MalformedParameters(RemoteAdminError):
    """Bytes are not parameters of an administration session."""


class ProtocolViolated(RemoteAdminError):
    """The other end sent what the protocol does not allow; the session is over."""


_MEANINGS: Final = {
    400: "it cannot read what the hub has sent",
    403: "the hub's certificate was withdrawn, has ended, or is for another meter",
    404: "it is no server for hubs, or the address is not right",
    409: "it is at another step",
    413: "what the hub has sent is too long for it",
    429: "the hub has come too often",
    500: "an error of its own",
    502: "what is behind it is not there",
    503: "it has too much to do, or its database is not reached",
}
"""What a server for hubs means by the status codes of HTTP."""


class ServerRefused(ProtocolViolated):
    """The server has answered with the status of an error; `status` is its number."""

    def __init__(self, status: int) -> None:
        meaning = f": {_MEANINGS[status]}" if status in _MEANINGS else ""
        super().__init__(f"the server answers with status {status}{meaning}")
        self.status = status


class SequenceError(RemoteAdminError):
    """Our caller called out of turn: a bug on this side."""
