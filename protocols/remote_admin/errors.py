# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between an agent and its administration server.

RemoteAdminError
  MalformedScript       bytes are not a script of ETSI TS 102 226 in expanded format
  MalformedTarget       text is not the name of an application
  MalformedParameters   bytes are not a trigger or a stored set of parameters
  ProtocolViolated      the other end sent what the protocol does not allow at this point
  SequenceError         our own caller called out of turn: a bug on this side
"""


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


class SequenceError(RemoteAdminError):
    """Our caller called out of turn: a bug on this side."""
