# SPDX-License-Identifier: Apache-2.0
"""The server's side of a dialogue with one agent: errands are done, one after the other.

An errand is a conversation with the agent's card (`protocols.secure_channel.conversation`). Each
step goes out as a script, and its answers come with the next POST:

    first POST ----> errand 1, step 1      answers ----> step 2 ... errand 2 ... ----> 204, the end
    a pause    ----> 204, Next-URI, Retry-After          X-Admin-Resume ----> errands from the start

What was under way when a session is resumed, or begun anew, is dropped: its answers are lost, and
an errand that is still due is fetched and begun again. So whatever an errand does must do no harm
when it is done twice. A POST that comes a second time, byte for byte, gets the same reply, and is
counted once; any other POST that does not belong to the step of the moment begins anew.

A step that selects an application is not sent: the next script names it, and the agent selects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from protocols.iso7816.errors import WireError
from protocols.remote_admin.errors import MalformedScript, MalformedTarget
from protocols.remote_admin.http import AgentPost, ScriptStatus, ServerReply, Target
from protocols.remote_admin.scripts import CommandScript, ResponseScript
from protocols.secure_channel.conversation import Conversation, Pause, Step
from protocols.secure_channel.errors import CardRefused, RemoteChannelError

SELECTED: Final = b"\x90\x00"
NOT_FOUND: Final = 0x6A82
MOST_STEPS: Final = 20_000
"""Scripts in one dialogue; then the agent is to come again."""
MOST_ERRANDS: Final = 256
LONGEST_PAUSE: Final = 60
"""Seconds."""

Errand = Conversation[None]


@dataclass(frozen=True, slots=True)
class Waits:
    """When an agent is to come again, in seconds."""

    pause: int = 2
    """While its card works on an answer: at first, then twice as long each time."""
    poll: int = 900
    """Once nothing is left to do."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """The last POST that went into a dialogue, by its digest, and its reply."""

    uri: str
    digest: bytes
    reply: ServerReply


class AdminDialogue:
    """One dialogue: from an agent's first POST to the reply that ends it."""

    def __init__(
        self,
        path: str,
        identifier: str,
        next_errand: Callable[[], Errand | None],
        waits: Callable[[], Waits] = Waits,
    ) -> None:
        """`next_errand` gives what is to be done next; None: nothing more at the moment.

        An errand that fails raises nothing but `WireError`, which ends it; it must not be given out
        again at once. `identifier` is unguessable, and tells this dialogue from others.
        """
        self._path, self.identifier = path, identifier
        self._next_errand, self._waits = next_errand, waits
        self._errand: Errand | None = None
        self._target: Target | None = None
        self._is_pausing = False
        self._pauses = 0
        """Of the errand so far: each is twice as long as the one before."""
        self._expected = 0
        """How many answers the script of the moment may have; 0: none is out."""
        self._step = self._errands = 0
        self._last: _Answered | None = None
        self.is_over = False
        self.held = 0
        """Bytes of answers that the errand of the moment has been given, and may hold."""

    def receive(self, post: AgentPost) -> ServerReply:
        """Return the reply to a POST.

        What an errand raises, but `WireError`, comes through; the dialogue is over then.
        """
        if self._last is not None and self._is_repeated(post):
            return self._last.reply  # it came twice, and counts once
        try:
            reply = self._reply(post)
        except BaseException:
            self.close()
            raise
        self._last = _Answered(post.uri, _digest(post), reply)
        return reply

    def is_current(self, post: AgentPost) -> bool:
        """Whether a POST belongs to the step of the moment, or repeats the one before."""
        return self._is_repeated(post) or (not self.is_over and post.uri == self._uri())

    def _is_repeated(self, post: AgentPost) -> bool:
        # Not a first POST: that is a new session each time.
        if self._last is None or post.status is None or post.uri != self._last.uri:
            return False
        return self._last.digest == _digest(post)

    def close(self) -> None:
        """Drop what is under way."""
        self.is_over, self.held = True, 0
        if self._errand is not None:
            self._errand.close()
            self._errand = None

    def _reply(self, post: AgentPost) -> ServerReply:
        is_expected = not self.is_over and self._step > 0 and post.uri == self._uri()
        if post.is_resumed or not is_expected:
            return self._begin_anew()
        if self._is_pausing:
            self._is_pausing = False
            return self._go_on([])
        if post.status is None or not self._expected:
            return self._begin_anew()  # answers were lost on the way: they are asked for again
        return self._take(post, post.status)

    def _take(self, post: AgentPost, status: ScriptStatus) -> ServerReply:
        expected, self._expected = self._expected, 0
        self.held += len(post.body)
        if status is not ScriptStatus.OK:
            return self._fail(_refusal(status))
        try:
            answers = ResponseScript.decode(post.body)
        except MalformedScript as error:
            return self._fail(RemoteChannelError(f"the answers: {error}"))
        # By what was answered, never by what was sent.
        if not 1 <= len(answers.answers) <= expected:
            why = f"{len(answers.answers)} answers to {expected} commands"
            fault = "" if answers.fault is None else f": {answers.fault.name.lower()}"
            return self._fail(RemoteChannelError(why + fault))
        return self._go_on(list(answers.answers))

    def _begin_anew(self) -> ServerReply:
        if self._errand is not None:
            self._errand.close()
        self._errand, self._target, self._expected = None, None, 0
        self.is_over = self._is_pausing = False
        return self._next()

    def _go_on(self, answers: Sequence[bytes]) -> ServerReply:
        assert self._errand is not None
        try:
            return self._carry(self._errand.send(answers))
        except (StopIteration, WireError):
            return self._next()

    def _fail(self, error: WireError) -> ServerReply:
        """Tell the errand that its step was not carried out; it may know what to do."""
        assert self._errand is not None
        try:
            return self._carry(self._errand.throw(error))
        except (StopIteration, WireError):
            return self._next()

    def _next(self) -> ServerReply:
        """Begin the next errand that has a step for the card."""
        self._target = None
        while self._errands < MOST_ERRANDS and self._step < MOST_STEPS:
            self._errands += 1
            self._pauses = self.held = 0
            self._errand = self._next_errand()
            if self._errand is None:
                break
            try:
                return self._carry(next(self._errand))
            except (StopIteration, WireError):
                continue
        self._errand, self.is_over = None, True
        return ServerReply(retry_after=self._waits().poll)

    def _carry(self, step: Step) -> ServerReply:
        """Return the reply that carries a step, the first that is not a selection."""
        assert self._errand is not None
        while True:
            self._step += 1
            if isinstance(step, Pause):
                self._is_pausing = True
                wait = min(self._waits().pause << min(self._pauses, 16), LONGEST_PAUSE)
                self._pauses += 1
                return ServerReply(self._uri(), retry_after=wait)
            if not step.selects:
                break
            try:
                self._target = Target(step.selects)
            except MalformedTarget as error:
                step = self._errand.throw(RemoteChannelError(str(error)))
            else:
                # The agent selects with the next script; where it cannot, that one fails.
                step = self._errand.send([SELECTED])
        self._expected = len(step.apdus)
        return ServerReply(self._uri(), self._target, CommandScript(step.apdus).encode())

    def _uri(self) -> str:
        return f"{self._path}?dialogue={self.identifier}&step={self._step}"


def _refusal(status: ScriptStatus) -> WireError:
    if status is ScriptStatus.UNKNOWN_APPLICATION:
        return CardRefused("SELECT", NOT_FOUND)
    return RemoteChannelError(f"the agent did not run the script: {status}")


def _digest(post: AgentPost) -> bytes:
    status = "" if post.status is None else post.status.value
    digest = sha256("\n".join((post.uri, status, str(post.is_resumed), "")).encode())
    digest.update(post.body)
    return digest.digest()
