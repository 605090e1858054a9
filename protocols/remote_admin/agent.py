# SPDX-License-Identifier: Apache-2.0
"""The agent: the end that dials. It POSTs, runs the script of each answer, and POSTs the answers.

    IDLE --start--> POSTING --reply--> RUNNING --ran--> POSTING ... --> OVER
                      |  ^                                  reply without Next-URI
                      +--+ reply 204 with Next-URI: ask again

    status  Next-URI  script   what the agent does (GPC_SPE_011 v1.2, 3.4.2)
    200     yes       yes      runs it and POSTs the answers to that URI
    200     no        yes      runs it, tells nobody, and ends
    204     yes       no       POSTs again to that URI, after Retry-After
    204     no        no       ends; Retry-After says when the next session is wanted

A connection that breaks down is not the end (3.5): the session goes on with a POST to the URI that
the last script came with, or with the last request, and says X-Admin-Resume. The answers of the
script that was interrupted are not sent. How often, and after which wait, the policy says; a
failure of TLS's security is never tried again by it.

An agent carries no bytes and runs nothing: each method returns what is to be done next.
"""

import enum
from dataclasses import dataclass, replace
from typing import Final

from protocols.remote_admin.errors import MalformedScript, ProtocolViolated, SequenceError
from protocols.remote_admin.http import AgentPost, ScriptStatus, ServerReply, Target
from protocols.remote_admin.scripts import CommandScript, ResponseScript

MOST_STEPS: Final = 4096
"""Replies in one session; a server that goes on is left."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a breakdown is tried again, and after how many seconds (GPC_SPE_011, 3.12).

    Two counters: connections inside each attempt at a session, and these attempts.
    """

    connections: int = 0
    """Further connections, where none was made or it broke before the first request."""
    connection_wait: float = 0.0
    sessions: int = 0
    """Further attempts, where all connections failed or it broke after the first request."""
    session_wait: float = 0.0
    inactivity_seconds: float | None = 60.0
    """How long a server may be silent before that counts as a breakdown; None: for ever."""


@dataclass(frozen=True, slots=True)
class SendPost:
    """POST this, after a wait; over a new connection after a breakdown."""

    post: AgentPost
    after_seconds: float = 0.0
    is_new_connection: bool = False


@dataclass(frozen=True, slots=True)
class RunScript:
    """Run a script, and tell the agent what came of it."""

    target: Target | None
    script: CommandScript
    is_last: bool
    """Whether nobody waits for its answers."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The session is over: close TLS, then the connection."""

    retry_after: int | None = None
    """After how many seconds the server wants the next one."""
    why: str = ""
    """Why it ended otherwise than the server said; empty where all was well."""


Action = SendPost | RunScript | SessionEnd


class _Phase(enum.Enum):
    IDLE = enum.auto()
    POSTING = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


class AdminAgent:
    """One session of an agent with its server."""

    def __init__(self, name: str, first_uri: str, policy: RetryPolicy | None = None) -> None:
        """`name` goes as X-Admin-From; `first_uri` is a path, with a query."""
        self._policy = policy or RetryPolicy()
        self._name = name
        self._post = AgentPost(first_uri, name)
        self._phase = _Phase.IDLE
        self._next_uri: str | None = None
        self._continuation: str | None = None
        """The Next-URI of the last script that was run whole."""
        self._steps = 0
        self._has_posted = False
        """Whether a request may have reached the server, in this session."""
        self._has_posted_here = False
        """The same in this attempt at the session."""
        self._connections_left = self._policy.connections
        self._sessions_left = self._policy.sessions
        self._is_indefinite = False

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self._phase is _Phase.OVER

    def start(self) -> SendPost:
        """Return the first POST."""
        self._go(_Phase.IDLE, _Phase.POSTING)
        return SendPost(self._post, is_new_connection=True)

    def posted(self) -> None:
        """Take in that the request went out, whole or in part: the server may have it."""
        if self._phase is not _Phase.POSTING:
            raise SequenceError("nothing is being posted")
        self._has_posted = self._has_posted_here = True

    def receive(self, reply: ServerReply) -> Action:
        """Return what a reply wants; raise `ProtocolViolated` where it makes no sense."""
        if self._phase is not _Phase.POSTING:
            raise SequenceError("no reply is waited for")
        self._steps += 1
        self._next_uri = reply.next_uri
        self._connections_left = self._policy.connections
        if self._steps > MOST_STEPS:
            return self._end(why=f"the server has gone on for {MOST_STEPS} steps")
        if not reply.body:
            if reply.next_uri is None:
                return self._end(retry_after=reply.retry_after)
            self._post = AgentPost(reply.next_uri, self._name)
            return SendPost(self._post, reply.retry_after or 0)
        try:
            script = CommandScript.decode(reply.body)
        except MalformedScript as error:
            self._phase = _Phase.OVER
            raise ProtocolViolated(f"the script: {error}") from None
        self._is_indefinite = script.is_indefinite
        self._phase = _Phase.RUNNING
        return RunScript(reply.target, script, is_last=reply.next_uri is None)

    def ran(self, answers: ResponseScript) -> Action:
        """Return what follows once a script was run: its answers are posted, or it was the last."""
        # In the coding of the question.
        body = replace(answers, is_indefinite=self._is_indefinite).encode()
        return self._after_script(ScriptStatus.OK, body)

    def refused(self, status: ScriptStatus) -> Action:
        """Return what follows where a script was not run, or not to its end."""
        if status is ScriptStatus.OK:
            raise SequenceError("a script that was run has answers")
        return self._after_script(status, b"")

    def broke_down(self) -> SendPost | SessionEnd:
        """Return how the session goes on after the connection failed, broke or fell silent."""
        if self._phase is not _Phase.POSTING:
            raise SequenceError("only a POST can break down")
        if not self._has_posted_here and self._connections_left > 0:
            self._connections_left -= 1
            return SendPost(self._post, self._policy.connection_wait, is_new_connection=True)
        if self._sessions_left <= 0:
            return self._end(why="the connection broke down, and no retry is left")
        self._sessions_left -= 1
        self._has_posted_here = False
        self._connections_left = self._policy.connections
        # Answers of the interrupted script are lost: the server asks again (3.5).
        uri = self._continuation or self._post.uri
        self._post = AgentPost(uri, self._name, is_resumed=self._has_posted)
        return SendPost(self._post, self._policy.session_wait, is_new_connection=True)

    def abort(self, why: str) -> SessionEnd:
        """End the session for a reason that no retry helps against, such as TLS's security."""
        return self._end(why=why)

    def _after_script(self, status: ScriptStatus, body: bytes) -> Action:
        self._go(_Phase.RUNNING, _Phase.POSTING)
        if self._next_uri is None:
            return self._end()
        self._continuation = self._next_uri
        self._post = AgentPost(self._next_uri, self._name, status, body=body)
        return SendPost(self._post)

    def _end(self, retry_after: int | None = None, why: str = "") -> SessionEnd:
        self._phase = _Phase.OVER
        return SessionEnd(retry_after, why)

    def _go(self, here: _Phase, there: _Phase) -> None:
        if self._phase is not here:
            raise SequenceError(f"not when {self._phase.name.lower()}")
        self._phase = there
