# SPDX-License-Identifier: Apache-2.0
"""One request to another server, with a limit of time for all of it.

A limit for each read is none for whoever sends a byte before it is over: names, connection, TLS,
head and body together have `within` seconds, then everything is closed.

Errors: AccessProblem
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final

import httpx2

from protocols.canonical.foreign_text import ForeignTextRefused, read_json
from utility_server.errors import AccessProblem

LARGEST_ANSWER: Final = 1 << 18


def ask_json(
    method: str, address: str, within: float, authorities: Path | None, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON object that an address answers; follows no redirection.

    Raises `AccessProblem` for anything else; it says nothing of what was sent. Not to be called
    from a thread that runs an event loop.
    """
    try:
        status, content = asyncio.run(
            asyncio.wait_for(_asked(method, address, authorities, more), within)
        )
        said = read_json(content)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:  # a time-out is an OSError
        raise AccessProblem(f"the identity provider {_in_words(error)}") from None
    except ForeignTextRefused:
        raise AccessProblem("the identity provider answers no JSON") from None
    if not isinstance(said, dict):
        raise AccessProblem(f"the identity provider refuses, with status {status}")
    return status, said


def _in_words(error: Exception) -> str:
    """Say what went wrong; an error's own text may have what was sent."""
    match error:
        case TimeoutError():
            return f"is not reached: it has not answered in time ({type(error).__name__})"
        case httpx2.ConnectError():
            return "is not reached: nothing takes the connection, or TLS does not trust it"
        case httpx2.InvalidURL():
            return "has an address that is none"
    return f"is not reached: the connection broke off ({type(error).__name__})"


async def _asked(
    method: str, address: str, authorities: Path | None, more: dict[str, Any]
) -> tuple[int, bytes]:
    verify = ssl.create_default_context(cafile=str(authorities) if authorities else None)
    async with (
        httpx2.AsyncClient(verify=verify, timeout=None, trust_env=False) as client,
        client.stream(method, address, **more) as answer,
    ):
        content = bytearray()
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER:
                raise AccessProblem("the identity provider says too much")
        return answer.status_code, bytes(content)
