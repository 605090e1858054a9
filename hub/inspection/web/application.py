# SPDX-License-Identifier: Apache-2.0
"""The application: all pages behind one guard.

Guard -> routes -> Page (session, form token, role) -> a function of `PageRequest` -> a template
"""

import base64
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from threading import Timer
from typing import Final

from anyio import to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from hub.inspection.api.application import create_api
from hub.inspection.api.login import PasswordCheck
from hub.inspection.errors import SHOWN_ERRORS
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.documents import tariff_book
from hub.inspection.views.readings import warm
from hub.inspection.views.releases import releases_view
from hub.inspection.web.access import sign_in
from hub.inspection.web.access.incidents import Incidents
from hub.inspection.web.access.request_guard import Guard
from hub.inspection.web.access.residents import Residents
from hub.inspection.web.access.sessions import Sessions
from hub.inspection.web.access.throttle import Throttle
from hub.inspection.web.jobs import Jobs
from hub.inspection.web.pages import (
    about,
    applets,
    bills,
    consents,
    exports,
    log,
    now,
    readers,
    readings,
    releases,
    set_aside,
    work,
)
from hub.inspection.web.parts import HERE, Parts, Settings, make_environment
from listeners.assets import Assets

MODULES = (
    about,
    applets,
    bills,
    consents,
    exports,
    log,
    now,
    readers,
    readings,
    releases,
    set_aside,
    sign_in,
    work,
)
PAGES: Final = tuple(page for module in MODULES for page in module.PAGES)
UPLOADS: Final = frozenset({"/applets/package", "/bill/what-if", "/releases/lists"})
CODE_SIZE: Final = 5
MOST_THREADS: Final = 4
SHORT_TURN_SECONDS: Final = 0.0002
WARM_AFTER_SECONDS: Final = 1.0
"""Who has just started the pages wants to see the first."""
FIRST_TEMPLATES: Final = ("base.html", "sign_in.html", "now.html")
STATUS_WORDS: Final = {
    400: "error.bad",
    404: "error.missing",
    405: "error.method",
    413: "error.large",
}


def make_parts(settings: Settings) -> Parts:
    """Open what the pages share; raises as `Device.open` does."""
    with settings.open_device() as device:
        zone = device.description.zone
    residents = Residents.open(settings.folder, settings.now, settings.randomness)
    assets = Assets.load(HERE / "static")
    return Parts(
        settings=settings,
        residents=residents,
        throttle=Throttle(residents.database),
        sessions=Sessions(settings.now, settings.randomness),
        incidents=Incidents(settings.open_device, settings.now, settings.complain),
        jobs=Jobs(settings.randomness, SHOWN_ERRORS, settings.complain),
        assets=assets,
        templates=make_environment(assets),
        welcome_code=base64.b32encode(settings.randomness(CODE_SIZE)).decode().lower(),
        zone=zone,
    )


def create_application(parts: Parts) -> ASGIApp:
    """Return the application, which closes `parts` when it ends."""
    settings = parts.settings

    async def missing(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return await run_in_threadpool(_plain_error, parts, request, status)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Each thread keeps memory of its own; more of them than this would not be quicker.
        to_thread.current_default_thread_limiter().total_tokens = MOST_THREADS
        await run_in_threadpool(_prepare, parts)
        warming = Timer(WARM_AFTER_SECONDS, _warm, (parts,))
        warming.daemon = True
        warming.start()
        yield
        warming.cancel()
        parts.jobs.cancel_all()
        parts.residents.close()

    async def record(event: str, facts: Mapping[str, str]) -> None:
        await run_in_threadpool(parts.incidents.refused, event, facts)

    routes: list[BaseRoute] = [page.route(parts) for page in PAGES]
    routes.append(Route("/assets/{name}", parts.assets.answer, methods=["GET", "HEAD"]))
    passwords = PasswordCheck(parts.throttle, parts.residents.passphrases, settings.is_secure)
    api = create_api(settings.open_device, settings.proofs, passwords=passwords)
    routes.append(Mount("/api", api))
    inner = Starlette(
        routes=routes,
        exception_handlers={HTTPException: missing, 500: missing},
        lifespan=lifespan,
    )
    return Guard(inner, settings.hosts, settings.origins, settings.is_secure, record, UPLOADS)


def _prepare(parts: Parts) -> None:
    """Do once what the first look at the first page would wait for."""
    for name in FIRST_TEMPLATES:
        parts.templates.get_template(name)
    for language in LANGUAGES:
        catalogue(language).number(0)
    try:
        with parts.settings.open_device() as device:
            releases_view(device)
            tariff_book(device)
    except (*SHOWN_ERRORS, sqlite3.Error) as error:
        parts.settings.complain(f"the pages will not show all: {error}")


def _warm(parts: Parts) -> None:
    """Keep the sums of all days once, so that the first look at a year is as quick as the next."""
    usual = sys.getswitchinterval()
    # Pages come first: each wait of theirs for the interpreter would last the usual 5 ms.
    sys.setswitchinterval(SHORT_TURN_SECONDS)
    try:
        for name in parts.templates.list_templates():
            parts.templates.get_template(name)
        with parts.settings.open_device() as device, open_inspection(device) as database:
            for meter in device.every_meter:
                warm(meter, tariff_book(meter), BucketCache.of(meter, database))
    except (*SHOWN_ERRORS, sqlite3.Error) as error:
        parts.settings.complain(f"sums not kept: {error}")
    finally:
        sys.setswitchinterval(usual)


def _plain_error(parts: Parts, request: Request, status: int) -> Response:
    """Return the page of an error that is nobody's business in detail."""
    words = parts.wording(request)
    key = STATUS_WORDS.get(status, "error.ours")
    text = parts.templates.get_template("plain_error.html").render(
        t=words.t, words=words, status=status, reason=words.t(key)
    )
    return HTMLResponse(text, status)
