# SPDX-License-Identifier: Apache-2.0
"""The console: its pages behind a guard of their own, over the interface of the same service."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from listeners.assets import Assets
from utility_server.service.console import (
    certificates,
    finding,
    pages,
    rollouts,
    settlements,
    sign_in,
    words,
)
from utility_server.service.console.guard import ConsoleGuard
from utility_server.service.console.visit import Console
from utility_server.service.parts import ServiceParts

HERE: Final = Path(__file__).parent
PAGES: Final = (
    *pages.PAGES, *finding.PAGES, *certificates.PAGES, *settlements.PAGES, *rollouts.PAGES,
)  # fmt: skip
"""All that is behind the sign-in."""
_REASONS = {
    400: "the form is not one of this console",
    404: "there is no such page",
    405: "that page takes no such request",
    413: "that is too large",
}


def create_console(parts: ServiceParts, api: FastAPI) -> ASGIApp:
    """Return the console over an interface."""
    assets = Assets.load(HERE / "static")
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["asset"] = assets.address
    templates.globals["words"] = words
    console = Console(parts, api, templates)

    async def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = _REASONS.get(status, "something went wrong here; the log says what")
        text = templates.get_template("plain_problem.html").render(reason=reason)
        return HTMLResponse(text, status)

    routes: list[BaseRoute] = [page.route(console) for page in (*sign_in.PAGES, *PAGES)]
    routes.append(Route("/assets/{name}", assets.answer, methods=["GET", "HEAD"]))
    inner = Starlette(routes=routes, exception_handlers={HTTPException: refused, 500: refused})
    settings = parts.settings
    return ConsoleGuard(inner, settings.origins, is_secure=settings.is_secure)
