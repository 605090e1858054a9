# SPDX-License-Identifier: Apache-2.0
"""A web address that answers with the latest frame, as bridges on optical heads do."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

LARGEST: Final = 1 << 20
"""The most that is read of one answer, in bytes."""


async def poll_http(
    address: str,
    *,
    interval: float,
    login: str | None = None,
    timeout: float = 10.0,
    polls: int | None = None,
) -> AsyncIterator[bytes]:
    """Yield the body of each answer; an answer that is the same as before is passed over.

    `login` is `user:password` for basic authentication. `interval` and `timeout` are in seconds;
    `polls` ends the source after so many. Raises ValueError for an address of another scheme or
    with a login in it, OSError where the server cannot be reached.
    """
    request = _request(address, login)
    before = b""
    done = 0
    while polls is None or done < polls:
        if done:
            await asyncio.sleep(interval)
        done += 1
        body = await asyncio.to_thread(_get, request, timeout)
        if body != before:
            yield body
        before = body


def _request(address: str, login: str | None) -> Request:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise ValueError("only http:// and https:// addresses can be polled")
    if "@" in parts.netloc:
        raise ValueError("an address may not carry a password: give the login apart")
    request = Request(address)  # noqa: S310  # checked above
    if login:
        token = base64.b64encode(login.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _get(request: Request, timeout: float) -> bytes:
    with urlopen(request, timeout=timeout) as answer:  # noqa: S310  # see `_request`
        body: bytes = answer.read(LARGEST)
    return body
