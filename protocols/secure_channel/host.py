# SPDX-License-Identifier: Apache-2.0
"""The host's end of a card: select, open a channel, send commands of any size.

`CardDialogue` says what goes to the card and reads what comes back; it splits long commands,
collects long answers (61xx) and protects what it sends once a channel is open. It carries no bytes:
its methods are conversations (`protocols.secure_channel.conversation`). `CardClient` is the same
over a function that carries one APDU there and the answer back.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from protocols.iso7816.apdu import MAX_DATA, MAX_LE, CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedApdu
from protocols.secure_channel.conversation import Conversation, Transmit, converse
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Scp03
from protocols.secure_channel.session import Role, SecureSession, SecurityLevel, SentCommand

MAX_ANSWER: Final = 1 << 24
"""The longest answer a client collects; a card that goes on is refused."""
MAX_OPEN_ANSWER: Final = 1 << 16
"""The same without a secure channel: whoever sends it has not shown who it is."""
INS_SELECT: Final = 0xA4
INS_GET_RESPONSE: Final = 0xC0
_SHORT: Final = 0xFF

ResultT = TypeVar("ResultT")


class CardDialogue:
    """What a host says to one card, without the wire."""

    def __init__(self, *, max_data: int = MAX_DATA, channel: int = 0) -> None:
        """`max_data` 255 keeps to short APDUs."""
        self._max_data, self._channel = max_data, channel
        self._session: SecureSession | None = None

    @property
    def session(self) -> SecureSession | None:
        """The secure channel, where one is open."""
        return self._session

    def select(self, aid: bytes) -> Conversation[ResponseApdu]:
        """Select `aid` and return what it says of itself; raise `CardRefused` if it is not there.

        A channel that was open ends.
        """
        self._session = None
        command = CommandApdu(0, INS_SELECT, 4, 0, aid, le=256).on_channel(self._channel)
        response = yield from _Batch(self, [command], selects=aid).next_response()
        if not response.is_success:
            raise CardRefused(f"SELECT {aid.hex().upper()}", response.sw)
        return response

    def open_scp03(
        self,
        keys: StaticKeys,
        host_challenge: bytes,
        *,
        level: SecurityLevel = SecurityLevel.FULL,
        key_version: int = 0,
        expected_aid: bytes | None = None,
    ) -> Conversation[Scp03]:
        """Open SCP03 with `keys`; raise `CardRefused` or `RemoteChannelError` where it fails.

        `host_challenge` is 8 (S8) or 16 (S16) fresh random bytes. With `expected_aid`, the full
        AID of what is selected, the card's pseudo-random challenge is checked as well.
        """
        session, _ = yield from self.open_scp03_and_send(
            keys, host_challenge, [], level=level, key_version=key_version,
            expected_aid=expected_aid,
        )  # fmt: skip
        return session

    def open_scp03_and_send(
        self,
        keys: StaticKeys,
        host_challenge: bytes,
        first: Sequence[CommandApdu],
        *,
        level: SecurityLevel = SecurityLevel.FULL,
        key_version: int = 0,
        expected_aid: bytes | None = None,
    ) -> Conversation[tuple[Scp03, list[ResponseApdu]]]:
        """Open SCP03 like `open_scp03`, and send the first commands in the same step.

        Returns their answers, too. They need not wait for the card's consent: one that refuses the
        host cannot read them.
        """
        self._session = None
        session = Scp03(Role.HOST, keys, host_challenge)
        response = yield from self._exchange(session.initialize_update(key_version))
        session.receive_challenge(response, expected_aid)
        authenticate = session.external_authenticate(level)
        wrapped = [self._wrapped(session, self._fitting(one)) for one in first]
        batch = _Batch(self, [authenticate, *(one.command for one in wrapped)])
        session.confirm((yield from batch.next_response()))
        self._session = session
        answers = []
        for one in wrapped:
            response = yield from batch.next_response()
            answers.append(session.unwrap_response(response, one.sent))
        return session, answers

    def use(self, session: SecureSession) -> None:
        """Protect what follows with a session that was opened by other means."""
        self._session = session

    def send(self, command: CommandApdu) -> Conversation[ResponseApdu]:
        """Send `command`, of any length, and return the whole answer, whatever its status word."""
        [response] = yield from self.send_all([command])
        return response

    def send_all(self, commands: Sequence[CommandApdu]) -> Conversation[list[ResponseApdu]]:
        """Send commands in one step and return their answers, whatever their status words.

        Each is carried out whatever came of those before it.
        """
        session = self._session
        fitting = [self._fitting(command) for command in commands]
        if session is None:
            return (yield from self._exchange_all(fitting))
        wrapped = [self._wrapped(session, command) for command in fitting]
        batch, answers = _Batch(self, [one.command for one in wrapped]), []
        for one in wrapped:
            response = yield from batch.next_response()
            answers.append(session.unwrap_response(response, one.sent))
        return answers

    def _exchange_all(self, commands: Sequence[CommandApdu]) -> Conversation[list[ResponseApdu]]:
        batch = _Batch(self, commands)
        answers: list[ResponseApdu] = []
        while len(answers) < len(commands):
            response = yield from batch.next_response()
            answers.append(response)
        return answers

    def call(self, step: str, command: CommandApdu) -> Conversation[bytes]:
        """Send `command` and return the answer's data; raise `CardRefused` unless it is 9000."""
        response = yield from self.send(command)
        if not response.is_success:
            raise CardRefused(step, response.sw)
        return response.data

    def _fitting(self, command: CommandApdu) -> CommandApdu:
        if self._max_data > _SHORT:
            return command
        le = None if command.le is None else min(command.le, 256)
        return replace(command, le=le, extended=False)

    @staticmethod
    def _wrapped(session: SecureSession, command: CommandApdu) -> "_Wrapped":
        wrapped = session.wrap_command(command)
        return _Wrapped(wrapped, session.sent)

    def _exchange(self, command: CommandApdu) -> Conversation[ResponseApdu]:
        return (yield from _Batch(self, [command]).next_response())

    def frames(self, command: CommandApdu) -> list[bytes]:
        """Return the APDUs that make up a command: one, or a chain where it is long."""
        command = command.on_channel(self._channel)
        size, data, frames = self._max_data, command.data, []
        while len(data) > size:
            frames.append(replace(command, cla=command.cla | 0x10, data=data[:size], le=None))
            data = data[size:]
        # The last link of a chain of short commands is short again.
        last = replace(command, data=data, extended=command.extended and size > _SHORT)
        return [one.encode() for one in (*frames, last)]

    def get_response(self) -> bytes:
        """Return the APDU that fetches the rest of a long answer."""
        le = MAX_LE if self._max_data > _SHORT else 256
        return CommandApdu(0, INS_GET_RESPONSE, 0, 0, le=le).on_channel(self._channel).encode()


@dataclass(frozen=True, slots=True)
class _Wrapped:
    command: CommandApdu
    sent: SentCommand


class _Batch:
    """Commands that go out in one step; what its carrier has not sent goes out again."""

    def __init__(
        self, dialogue: CardDialogue, commands: Sequence[CommandApdu], *, selects: bytes = b""
    ) -> None:
        self._dialogue, self._selects = dialogue, selects
        self._waiting = deque(deque(dialogue.frames(command)) for command in commands)
        self._answers: deque[ResponseApdu] = deque()

    def next_response(self) -> Conversation[ResponseApdu]:
        """Return the whole answer to the next command."""
        frames = self._waiting[0]
        while True:
            if not self._answers:
                yield from self._send()
            response = self._answers.popleft()
            frames.popleft()
            if not frames or not response.is_success:
                break
        self._waiting.popleft()
        if response.sw >> 8 != 0x61:
            return response
        if self._answers:
            raise RemoteChannelError("the card has answered on, with an answer not yet fetched")
        return (yield from self._collect(response))

    def _send(self) -> Conversation[None]:
        apdus = tuple(frame for frames in self._waiting for frame in frames)
        answers = yield Transmit(apdus, self._selects)
        # Counted by what was answered: a carrier may have stopped early.
        if not 1 <= len(answers) <= len(apdus):
            raise RemoteChannelError(f"{len(answers)} answers to {len(apdus)} commands")
        self._answers.extend(_decode(answer) for answer in answers)

    def _collect(self, response: ResponseApdu) -> Conversation[ResponseApdu]:
        collected = bytearray(response.data)
        while response.sw >> 8 == 0x61:
            answers = yield Transmit((self._dialogue.get_response(),))
            if len(answers) != 1:
                raise RemoteChannelError(f"{len(answers)} answers to one command")
            response = _decode(answers[0])
            collected += response.data
            most = MAX_OPEN_ANSWER if self._dialogue.session is None else MAX_ANSWER
            if len(collected) > most or (response.sw >> 8 == 0x61 and not response.data):
                raise RemoteChannelError("the card's answer does not end")
        return replace(response, data=bytes(collected))


class CardClient:
    """A conversation with one card over `transmit`."""

    def __init__(
        self, transmit: Callable[[bytes], bytes], *, max_data: int = MAX_DATA, channel: int = 0
    ) -> None:
        """Use `transmit` for every APDU; `max_data` 255 keeps to short ones."""
        self._transmit = transmit
        self.dialogue = CardDialogue(max_data=max_data, channel=channel)

    @property
    def session(self) -> SecureSession | None:
        """The secure channel, where one is open."""
        return self.dialogue.session

    def select(self, aid: bytes) -> ResponseApdu:
        """Select `aid` and return what it says of itself; raise `CardRefused` if it is not there.

        A channel that was open ends.
        """
        return self.converse(self.dialogue.select(aid))

    def open_scp03(
        self,
        keys: StaticKeys,
        host_challenge: bytes,
        *,
        level: SecurityLevel = SecurityLevel.FULL,
        key_version: int = 0,
        expected_aid: bytes | None = None,
    ) -> Scp03:
        """Open SCP03 with `keys`, as `CardDialogue.open_scp03` does."""
        return self.converse(
            self.dialogue.open_scp03(
                keys, host_challenge, level=level, key_version=key_version,
                expected_aid=expected_aid,
            )
        )  # fmt: skip

    def use(self, session: SecureSession) -> None:
        """Protect what follows with a session that was opened by other means."""
        self.dialogue.use(session)

    def send(self, command: CommandApdu) -> ResponseApdu:
        """Send `command`, of any length, and return the whole answer, whatever its status word."""
        return self.converse(self.dialogue.send(command))

    def call(self, step: str, command: CommandApdu) -> bytes:
        """Send `command` and return the answer's data; raise `CardRefused` unless it is 9000."""
        return self.converse(self.dialogue.call(step, command))

    def converse(self, conversation: Conversation[ResultT]) -> ResultT:
        """Carry on a conversation that speaks through this client's `dialogue`."""
        return converse(conversation, self._transmit)


def _decode(answer: bytes) -> ResponseApdu:
    try:
        return ResponseApdu.decode(answer)
    except MalformedApdu as error:
        raise RemoteChannelError(f"the card's answer is not a response: {error}") from error
