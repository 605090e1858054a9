# SPDX-License-Identifier: Apache-2.0
"""A session with a recipient's server, step by step: the agent and the card, without the wire.

`session_steps` yields what is to be carried, and is sent what came of it; so a thread with a socket
(`hub.dialling.dialler`) and an event loop with thousands of hubs run the same session.

    Exchange(post)  -->  the ServerReply; thrown in: BrokenDown, SecurityFailed, ProtocolViolated
    Wait(seconds)   -->  None
    Told(event)     -->  None
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from hub.dialling.errors import BrokenDown, SecurityFailed
from hub.dialling.events import Fact, Kind
from hub.dialling.sessions import CommandSessions
from protocols.remote_admin.agent import AdminAgent, RunScript, SendPost, SessionEnd
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import AgentPost, ScriptStatus, ServerReply


@dataclass(frozen=True, slots=True)
class Exchange:
    """POST this and return the reply."""

    post: AgentPost
    is_new_connection: bool
    """Whether a connection that is still open from before the session's breakdown is useless."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so many seconds go by."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Told:
    """Something has happened that a log may tell."""

    kind: Kind
    facts: Mapping[str, Fact] = field(default_factory=dict)


SessionStep = Exchange | Wait | Told
Session = Generator[SessionStep, ServerReply | None, SessionEnd]


def session_steps(
    agent: AdminAgent, card: CommandSessions, delay_of_wrong: Callable[[], float]
) -> Session:
    """Carry on one session to its end, and close the card's conversations.

    `delay_of_wrong` says for how long the answer to a wrong authentication is held back. Errors
    below the card come through.
    """
    action: SendPost | RunScript | SessionEnd = agent.start()
    is_first = True
    try:
        while not isinstance(action, SessionEnd):
            if isinstance(action, RunScript):
                action = yield from _run(agent, card, action, delay_of_wrong)
                continue
            if action.after_seconds > 0:
                yield Wait(action.after_seconds)
            is_new = action.is_new_connection and not is_first
            is_first = False
            try:
                reply = yield Exchange(action.post, is_new)
                assert reply is not None
                agent.posted()
                action = agent.receive(reply)
            except BrokenDown as broken:
                if broken.has_posted:
                    agent.posted()
                action = agent.broke_down()
                card.close()  # what was authenticated ends with the connection it came over
                if isinstance(action, SendPost):
                    after = action.after_seconds
                    yield Told(Kind.RETRYING, {"why": str(broken), "after_seconds": after})
                else:
                    action = SessionEnd(why=str(broken))
            except (SecurityFailed, ProtocolViolated) as error:
                # No breakdown of the connection: no retry (GPC_SPE_011 v1.2, 3.3.4).
                action = agent.abort(str(error))
                if isinstance(error, SecurityFailed):
                    raise
    finally:
        card.close()
    return action


def _run(
    agent: AdminAgent,
    card: CommandSessions,
    wanted: RunScript,
    delay_of_wrong: Callable[[], float],
) -> Generator[SessionStep, ServerReply | None, SendPost | RunScript | SessionEnd]:
    wrong = card.wrong
    result = card.run(wanted.target, wanted.script)
    facts: dict[str, Fact] = {
        "target": str(wanted.target or ""),
        "commands": len(wanted.script.apdus),
    }
    if isinstance(result, ScriptStatus):
        facts["status"] = result.value
    else:
        facts["answers"] = len(result.answers)
    yield Told(Kind.SCRIPT, facts)
    if card.wrong > wrong:  # whoever guesses keys is slowed down, and nobody is locked out
        yield Wait(delay_of_wrong())
    return agent.refused(result) if isinstance(result, ScriptStatus) else agent.ran(result)
