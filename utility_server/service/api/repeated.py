# SPDX-License-Identifier: Apache-2.0
"""Requests that come again: who sends the same idempotency key gets the same answer.

A key is its client's own: nobody gets another's answer. The same key with another request is
refused. Of the request only a MAC is kept. Answers that show a secret are not kept: who asks for
one again learns that it was done, and nothing else. No answer that is kept shows a customer's name
or address: they can be erased, and would be here still.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update
from starlette.responses import Response

from utility_server.database import repeated_request_table as table
from utility_server.database import writing
from utility_server.service.api.problems import Problem

KEPT_SECONDS: Final = 7 * 86_400
WORKED_ON_SECONDS: Final = 600
"""After that time a request without an answer is taken to have died, and is done again."""
LARGEST_KEPT: Final = 1 << 18
NOT_KEPT: Final = -1


@dataclass(frozen=True, slots=True)
class RepeatedRequests:
    """The answers to requests with idempotency keys."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)
    secret: bytes = field(repr=False)
    """The key of the requests' MACs."""

    def begin(self, owner: str, key: str, request: bytes) -> Response | None:
        """Return what was answered before; None where the request is to be worked on now.

        Raises a `Problem` where the key was used for another request, or is being worked on.
        """
        now, where = self.now(), (table.c.owner == owner, table.c.key == key)
        with writing(self.engine, f"{owner} {key}".encode()) as connection:
            connection.execute(delete(table).where(table.c.began <= now - KEPT_SECONDS))
            row = connection.execute(select(table).where(*where)).one_or_none()
            if row is None:
                connection.execute(
                    insert(table).values(
                        owner=owner,
                        key=key,
                        request=request,
                        status=0,
                        media="",
                        location="",
                        content=b"",
                        began=now,
                    )
                )
                return None
            if not hmac.compare_digest(bytes(row.request), request):
                raise Problem(
                    422, "idempotency-key-reused", "that idempotency key was another request's"
                )
            if row.status == 0:
                if now - row.began < WORKED_ON_SECONDS:
                    headers = {"Retry-After": "1"}
                    why = "the same request is being worked on"
                    raise Problem(409, "request-in-progress", why, headers)
                connection.execute(update(table).where(*where).values(began=now))
                return None
        if row.status == NOT_KEPT:
            raise Problem(409, "answer-not-kept", "that was done; its answer is not kept")
        headers = {"Idempotency-Replayed": "true", "Cache-Control": "no-store"}
        if row.location:
            headers["Location"] = row.location
        return Response(bytes(row.content), row.status, headers, row.media or None)

    def done(self, owner: str, key: str, answer: Response, *, has_secret: bool) -> None:
        """Keep an answer; one that is our fault is forgotten: the request can come again."""
        where = (table.c.owner == owner, table.c.key == key)
        content = bytes(answer.body)
        with writing(self.engine, f"{owner} {key}".encode()) as connection:
            if answer.status_code >= 500 or answer.status_code in (409, 429):
                connection.execute(delete(table).where(*where))
                return
            is_kept = len(content) <= LARGEST_KEPT and not has_secret
            connection.execute(
                update(table)
                .where(*where)
                .values(
                    status=answer.status_code if is_kept or not content else NOT_KEPT,
                    media=answer.headers.get("content-type", ""),
                    location=answer.headers.get("location", ""),
                    content=content if is_kept else b"",
                )
            )

    def forget(self, owner: str, key: str) -> None:
        """Forget a request that was not answered."""
        with writing(self.engine, f"{owner} {key}".encode()) as connection:
            connection.execute(delete(table).where(table.c.owner == owner, table.c.key == key))
