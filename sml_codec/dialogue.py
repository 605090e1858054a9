# SPDX-License-Identifier: Apache-2.0
"""Requests and their answers, without I/O: both ends of a dialogue.

    client                                           server
    Open.Req  Get...Req  Get...Req  Close.Req  --->
                      <---  Open.Res  Get...Res  Get...Res  Get...Res  Close.Res

A response carries the transaction id of its request; a profile takes a response for each period. An
attention stands for a response that the server cannot give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sml_codec.attention import Attention
from sml_codec.errors import SessionError
from sml_codec.messages import (
    AttentionRes,
    Body,
    CloseReq,
    CloseRes,
    GetListReq,
    GetProcParameterReq,
    GetProfileListReq,
    GetProfilePackReq,
    Message,
    OpenReq,
    OpenRes,
    SetProcParameterReq,
)

Request: TypeAlias = (
    GetListReq | GetProcParameterReq | GetProfileListReq | GetProfilePackReq | SetProcParameterReq
)
"""What a client may ask between opening and closing."""

Answer: TypeAlias = Callable[[Request], Iterable[Body]]
"""How a server answers requests of one type; an attention among the bodies is a refusal."""


class RequestRefused(SessionError):
    """The server answered with an attention message."""

    def __init__(self, attention: AttentionRes) -> None:
        super().__init__(f"refused: attention {attention.number.hex()}")
        self.attention = attention


@dataclass(slots=True)
class Enquiry:
    """The client's side of one file of requests.

    `messages` are to be sent; `accept` takes what comes back.
    """

    file_id: bytes
    requests: Sequence[Request]
    client_id: bytes
    server_id: bytes | None = None
    username: bytes | None = None
    password: bytes | None = field(default=None, repr=False)

    def messages(self) -> list[Message]:
        """Return the file of requests: an open, a group for each request, a close."""
        opening = OpenReq(
            client_id=self.client_id,
            request_file_id=self.file_id,
            server_id=self.server_id,
            username=self.username,
            password=self.password,
        )
        bodies: list[Body] = [opening, *self.requests, CloseReq()]
        return [
            Message(transaction_id=self._transaction(number), group=number % 256, body=body)
            for number, body in enumerate(bodies)
        ]

    def accept(self, messages: Iterable[Message]) -> list[list[Body]] | None:
        """Return the bodies that answer each request; None if this is another file.

        Raises `RequestRefused` for an attention that is no confirmation, `SessionError` if a
        request stayed without answer.
        """
        answers: dict[bytes, list[Body]] = {}
        for message in messages:
            answers.setdefault(message.transaction_id, []).append(message.body)
        numbers = range(len(self.requests) + 2)
        if not any(self._transaction(number) in answers for number in numbers):
            return None
        for bodies in answers.values():
            for body in bodies:
                if isinstance(body, AttentionRes) and not is_confirmation(body):
                    raise RequestRefused(body)
        found = [answers.get(self._transaction(number + 1)) for number in numbers[:-2]]
        missing = [type(r).__name__ for r, a in zip(self.requests, found, strict=True) if not a]
        if missing:
            raise SessionError(f"no answer to {', '.join(missing)}")
        return [bodies for bodies in found if bodies]

    def _transaction(self, number: int) -> bytes:
        return self.file_id + b"-%d" % number


@dataclass(slots=True)
class _Order:
    """Which requests are still to be answered after one was refused (abort-on-error)."""

    skipped: set[int] = field(default_factory=set)
    last_group: int | None = None
    aborted: bool = False

    def skips(self, group: int) -> bool:
        """Whether requests of this group stay without answer."""
        return self.aborted or group in self.skipped or self.last_group not in (None, group)

    def refused(self, request: Message) -> None:
        """Do as a request that was refused says."""
        match request.abort_on_error:
            case 0x01:
                self.skipped.add(request.group)
            case 0x02:
                self.last_group = request.group
            case 0xFF:
                self.aborted = True


@dataclass(slots=True)
class Responder:
    """The server's side: answers files of requests from a table.

    `answers` has a function for each type of request. `admits` decides on user name and password
    (which a client may leave out) before anything is answered; without it, everybody is admitted.
    """

    server_id: bytes
    answers: Mapping[type[Request], Answer]
    admits: Callable[[bytes | None, bytes | None], bool] | None = None

    def respond(self, messages: Iterable[Message]) -> list[Message]:
        """Return the file that answers a file of requests; empty if it has no request.

        A file that does not open is refused with one attention.
        """
        responses: list[Message] = []
        opened = admitted = False
        order = _Order()
        for message in messages:
            body = message.body
            if isinstance(body, OpenReq):
                opened = True
                admitted = self.admits is None or self.admits(body.username, body.password)
                bodies: list[Body] = [self._open(body)]
                if not admitted:
                    bodies.append(self._attention(Attention.NOT_AUTHORIZED))
            elif isinstance(body, CloseReq):
                responses.append(_reply(message, CloseRes()))
                break
            elif not opened:
                bodies = [self._attention(Attention.NO_SUCH_FILE, "open a file first")]
            elif not admitted or order.skips(message.group):
                continue
            else:
                bodies = self._answer(body)
            responses += [_reply(message, answer) for answer in bodies]
            if any(isinstance(b, AttentionRes) and not is_confirmation(b) for b in bodies):
                order.refused(message)
        return responses

    def _open(self, request: OpenReq) -> OpenRes:
        return OpenRes(
            client_id=request.client_id,
            request_file_id=request.request_file_id,
            server_id=self.server_id,
        )

    def _answer(self, body: Body) -> list[Body]:
        """Return what the table says to a request."""
        answer = self.answers.get(type(body))  # type: ignore[arg-type]  # others are not in it
        if answer is None:
            return [self._attention(Attention.UNKNOWN_MESSAGE, type(body).__name__)]
        wanted = getattr(body, "server_id", None)
        if wanted not in (None, self.server_id):
            return [self._attention(Attention.NO_SUCH_SERVER)]
        return list(answer(body)) or [self._attention(Attention.CANNOT_READ)]  # type: ignore[arg-type]

    def _attention(self, attention: Attention, text: str = "") -> AttentionRes:
        return AttentionRes(
            server_id=self.server_id, number=attention.value, text=text.encode() or None
        )


def is_confirmation(body: AttentionRes) -> bool:
    """Whether an attention says that all is well."""
    return body.number in (Attention.OK.value, Attention.RUNNING.value)


def _reply(request: Message, body: Body) -> Message:
    return Message(transaction_id=request.transaction_id, group=request.group, body=body)
