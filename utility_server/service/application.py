# SPDX-License-Identifier: Apache-2.0
"""The whole service: interface and console behind one entrance, and the long runs' threads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from utility_server.service.api.application import Entrance, create_api
from utility_server.service.console.application import create_console
from utility_server.service.parts import ServiceParts

_API_PATHS = ("/v1/", "/metrics", "/healthz", "/readyz")


def create_service(parts: ServiceParts, *, has_console: bool = True) -> ASGIApp:
    """Return the service, which closes `parts` when it ends."""
    api = create_api(parts)
    console = create_console(parts, api) if has_console else None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        parts.runner.start()
        parts.rounds.start()
        yield
        await to_thread.run_sync(parts.close)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        is_api = console is None or scope["path"].startswith(_API_PATHS)
        await (api if is_api or console is None else console)(scope, receive, send)

    outer = Starlette(routes=[Mount("", app=choose)], lifespan=lifespan)
    return Entrance(outer, parts)
