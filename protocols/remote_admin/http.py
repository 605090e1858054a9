# SPDX-License-Identifier: Apache-2.0
"""The POSTs of an agent and the replies of its server, as values (GPC_SPE_011 v1.2, 3.4).

    POST <uri>                            200 | 204
    X-Admin-Protocol, X-Admin-From        X-Admin-Protocol, X-Admin-Next-URI
    X-Admin-Script-Status  after a script X-Admin-Targeted-Application  with a script
    X-Admin-Resume         once           Retry-After  with 204: when to come again, in seconds
    answers                               commands

Names of fields are compared without regard to case, in any order; fields that nobody knows are
ignored. A field of these that comes twice is refused.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from protocols.remote_admin.errors import MalformedTarget, ProtocolViolated, ServerRefused

PROTOCOL: Final = "globalplatform-remote-admin/1.0"
COMMANDS: Final = "application/vnd.globalplatform.card-content-mgt;version=1.0"
ANSWERS: Final = "application/vnd.globalplatform.card-content-mgt-response;version=1.0"
LONGEST_URI: Final = 1024
LONGEST_NAME: Final = 256
LONGEST_WAIT_SECONDS: Final = 7 * 86_400
OK_STATUS: Final = 200
NO_CONTENT: Final = 204

Headers = Sequence[tuple[bytes, bytes]]

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_TARGET: Final = re.compile(r"//aid/([0-9A-Fa-f]{10})/((?:[0-9A-Fa-f]{2}){0,11})")
_SECONDS: Final = re.compile(r"0|[1-9][0-9]{0,5}")


class ScriptStatus(StrEnum):
    """What became of a script, as a whole."""

    OK = "ok"
    """It was delivered; the answers are in the body."""
    UNKNOWN_APPLICATION = "unknown-application"
    NOT_A_SECURITY_DOMAIN = "not-a-security-domain"
    SECURITY_ERROR = "security-error"
    UNAVAILABLE_APPLICATION = "temporarily-unavailable-application"
    SCRIPT_FORMAT_ERROR = "script-format-error"


@dataclass(frozen=True, slots=True)
class Target:
    """The application that a script is for."""

    aid: bytes

    def __post_init__(self) -> None:
        if not 5 <= len(self.aid) <= 16:
            raise MalformedTarget(f"an AID has 5 to 16 bytes, not {len(self.aid)}")

    def __str__(self) -> str:
        return f"//aid/{self.aid[:5].hex().upper()}/{self.aid[5:].hex().upper()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the target written as //aid/RID/PIX; raise `MalformedTarget` otherwise."""
        match = _TARGET.fullmatch(text)
        if match is None:
            raise MalformedTarget("not //aid/ with an RID of 10 hex digits and a PIX of 0 to 22")
        return cls(bytes.fromhex(match[1] + match[2]))


@dataclass(frozen=True, slots=True)
class AgentPost:
    """One POST of an agent; without a status the first of a session, or one that asks again."""

    uri: str
    agent: str
    """Who the agent says it is; it proves nothing (the connection's certificate does)."""
    status: ScriptStatus | None = None
    is_resumed: bool = False
    body: bytes = b""

    def __post_init__(self) -> None:
        require_uri(self.uri)
        if not _PRINTABLE.fullmatch(self.agent) or len(self.agent) > LONGEST_NAME:
            raise ProtocolViolated("the agent's name is empty, too long, or not printable")
        # A script that was delivered has answers; other ends have none but the part before them.
        if (self.status is ScriptStatus.OK) != bool(self.body) and not (
            self.body and self.status in _MAY_HAVE_ANSWERS
        ):
            raise ProtocolViolated("answers come with the status ok, and with no other")
        if self.is_resumed and self.status is not None:
            raise ProtocolViolated("a session is resumed without the answers of before")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields of the protocol; framing and Host are the carrier's."""
        fields = [("X-Admin-Protocol", PROTOCOL), ("X-Admin-From", self.agent)]
        if self.status is not None:
            fields.append(("X-Admin-Script-Status", self.status.value))
        if self.is_resumed:
            fields.append(("X-Admin-Resume", "true"))
        if self.body:
            fields.append(("Content-Type", ANSWERS))
        return _encoded(fields)

    @classmethod
    def read(cls, uri: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Self:
        """Return what came; raise `ProtocolViolated` where it is not a POST of an agent."""
        fields = _fields(headers)
        _require_protocol(fields)
        status = fields.get(b"x-admin-script-status")
        resume = fields.get(b"x-admin-resume")
        if resume not in (None, "true"):
            raise ProtocolViolated("X-Admin-Resume is true, or left out")
        if body and fields.get(b"content-type", "").replace(" ", "").lower() != ANSWERS:
            raise ProtocolViolated("the body is no script of answers")
        try:
            known = None if status is None else ScriptStatus(status)
        except ValueError:
            raise ProtocolViolated("no such script status") from None
        agent = fields.get(b"x-admin-from")
        if agent is None:
            raise ProtocolViolated("X-Admin-From is missing")
        return cls(uri, agent, known, resume is not None, body)


_MAY_HAVE_ANSWERS: Final = frozenset(
    {ScriptStatus.UNAVAILABLE_APPLICATION, ScriptStatus.SCRIPT_FORMAT_ERROR}
)


@dataclass(frozen=True, slots=True)
class ServerReply:
    """What the server says to a POST: a script, a wait, or the end."""

    next_uri: str | None = None
    """Where to POST next; None ends the session."""
    target: Target | None = None
    body: bytes = b""
    """A script of commands, or nothing."""
    retry_after: int | None = None
    """After how many seconds to come again; only without a script."""

    def __post_init__(self) -> None:
        if self.next_uri is not None:
            require_uri(self.next_uri)
        if self.retry_after is not None and not 0 <= self.retry_after <= LONGEST_WAIT_SECONDS:
            raise ProtocolViolated("Retry-After is not a number of seconds up to a week")

    @property
    def status(self) -> int:
        """The status code: 200 with a script, 204 without."""
        return OK_STATUS if self.body else NO_CONTENT

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields of the protocol; framing is the carrier's."""
        fields = [("X-Admin-Protocol", PROTOCOL)]
        if self.next_uri is not None:
            fields.append(("X-Admin-Next-URI", self.next_uri))
        if self.body:
            fields.append(("Content-Type", COMMANDS))
        if self.target is not None:
            fields.append(("X-Admin-Targeted-Application", str(self.target)))
        if self.retry_after is not None:
            fields.append(("Retry-After", str(self.retry_after)))
        return _encoded(fields)

    @classmethod
    def read(cls, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Self:
        """Return what came; raise `ProtocolViolated` for any other status, or what contradicts.

        An error status is no breakdown of the connection: the session is over.
        """
        if status not in (OK_STATUS, NO_CONTENT):
            raise ServerRefused(status)
        fields = _fields(headers)
        _require_protocol(fields)
        if (status == OK_STATUS) != bool(body):
            raise ProtocolViolated(f"status {status} with a body of {len(body)} bytes")
        if body and fields.get(b"content-type", "").replace(" ", "").lower() != COMMANDS:
            raise ProtocolViolated("the body is no script of commands")
        target = fields.get(b"x-admin-targeted-application")
        wait = fields.get(b"retry-after")
        if wait is not None and not _SECONDS.fullmatch(wait):
            wait = None  # a date, as HTTP allows: nothing that we need
        try:
            named = None if target is None or not body else Target.parse(target)
        except MalformedTarget as error:
            raise ProtocolViolated(f"X-Admin-Targeted-Application: {error}") from None
        return cls(
            fields.get(b"x-admin-next-uri"),
            named,
            body,
            None if wait is None or body else min(int(wait), LONGEST_WAIT_SECONDS),
        )


def require_uri(uri: str) -> None:
    """Raise `ProtocolViolated` for what is not a path, with or without a query, at this server."""
    # Not //: that would name another host.
    if not uri.startswith("/") or uri.startswith("//") or len(uri) > LONGEST_URI:
        raise ProtocolViolated("a URI is a path at the same server, of at most 1,024 characters")
    if not _PRINTABLE.fullmatch(uri) or "#" in uri:
        raise ProtocolViolated("a URI has printable characters, and no fragment")


def _encoded(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]


_OURS: Final = frozenset(
    {
        b"content-type",
        b"retry-after",
        b"x-admin-from",
        b"x-admin-next-uri",
        b"x-admin-protocol",
        b"x-admin-resume",
        b"x-admin-script-status",
        b"x-admin-targeted-application",
    }
)


def _fields(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Return the fields that the protocol knows; others are none of its business."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        key = name.lower()
        if key not in _OURS:
            continue
        if key in found:
            raise ProtocolViolated(f"{key.decode('ascii')} comes twice")
        try:
            found[key] = value.decode("ascii").strip(" \t")
        except UnicodeDecodeError:
            raise ProtocolViolated(f"{key.decode('ascii')} is not ASCII") from None
    return found


def _require_protocol(fields: dict[bytes, str]) -> None:
    if fields.get(b"x-admin-protocol") != PROTOCOL:
        raise ProtocolViolated(f"X-Admin-Protocol is not {PROTOCOL}")
