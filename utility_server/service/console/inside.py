# SPDX-License-Identifier: Apache-2.0
"""How the console asks the interface: in this process, as whoever has signed in.

So a page shows what the interface would show that person, asks for nothing that his roles forbid,
and everything is on record as his.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message

from utility_server.service.access.roles import Principal
from utility_server.service.api.operation import PRINCIPAL


@dataclass(frozen=True, slots=True)
class InsideAnswer:
    """What the interface answered."""

    status: int
    media: str
    content: bytes

    @property
    def is_fine(self) -> bool:
        """Whether it did what it was asked."""
        return self.status < 400

    @property
    def json(self) -> Any:
        """The content, as JSON."""
        return json.loads(self.content)

    @property
    def problem(self) -> str:
        """Why it did not, in a sentence; of a form, which field is wrong and what belongs there."""
        said = self.json
        faults = [f"{_label(one['at'])}: {one['why']}" for one in said.get("faults", [])]
        return "; ".join(faults) or str(said["detail"])


class InsideProblem(Exception):
    """The interface refused what a page has to have."""

    def __init__(self, answer: InsideAnswer) -> None:
        super().__init__(answer.problem)
        self.status = answer.status


@dataclass(frozen=True, slots=True)
class Inside:
    """The interface, for one request of one person."""

    app: ASGIApp
    principal: Principal
    request: str
    """The request's identification, which the records will have."""

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        *,
        media: str = "application/json",
        once: str = "",
    ) -> InsideAnswer:
        """Return what the interface answers; `once` is the form's idempotency key."""
        content = body if isinstance(body, bytes) else b"" if body is None else _encoded(body)
        headers = [(b"content-type", media.encode()), (b"host", b"console")]
        if once:
            headers.append((b"idempotency-key", once.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(dict(query or {}), doseq=True).encode(),
            "headers": headers,
            "client": None,
            "server": None,
            "state": {"identification": self.request},
            PRINCIPAL: self.principal,
        }
        sent: list[Message] = []
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        begun = next(one for one in sent if one["type"] == "http.response.start")
        kinds = [value for name, value in begun["headers"] if name == b"content-type"]
        content = b"".join(one.get("body", b"") for one in sent)
        return InsideAnswer(begun["status"], kinds[0].decode() if kinds else "", content)

    async def get(self, path: str, **query: Any) -> Any:
        """Return what is there; raise `InsideProblem` where it is refused."""
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        answer = await self.ask("GET", path, query=asked)
        if not answer.is_fine:
            raise InsideProblem(answer)
        return answer.json


def _label(place: str) -> str:
    """Return how a page calls a member of a request: `body.order.tariff` is `Tariff`."""
    names = [one for one in place.split(".") if not one.isdecimal()]
    return names[-1].replace("_", " ").capitalize() if names else "The request"


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
