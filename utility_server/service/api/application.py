# SPDX-License-Identifier: Apache-2.0
"""The interface as an application: operations, errors, health, metrics and a line of log each.

A problem is answered in one form, whoever finds it: our code, the framework or a bug. Bodies are
bounded before they are read.
"""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from sqlalchemy import select
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utility_server.database import reading, schema_table
from utility_server.errors import StoreError, kind_of
from utility_server.service.api.operation import ANYONE, ServiceRoute, operation, parts_of
from utility_server.service.api.problems import OURS, Problem, problem_response
from utility_server.service.api.routes import (
    administration,
    bills,
    claim_runs,
    customers,
    group_settlements,
    invoices,
    named_invoices,
    records,
    regions,
    rollouts,
    runs,
    search,
    tariffs,
)
from utility_server.service.parts import ServiceParts

VERSION: Final = "1"
LARGEST_BODY: Final = 1 << 20
LONGEST_PATH: Final = 512
LONGEST_QUERY: Final = 4096
REQUEST_HEADER: Final = "X-Request-Id"
_IDENTIFICATION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
ROUTERS: Final = (
    customers, search, tariffs, bills, invoices, named_invoices, records, runs, claim_runs,
    group_settlements, rollouts, regions, administration,
)  # fmt: skip
ABOUT: Final = """
The utility's interface for systems and staff.

Show a key (`Authorization: Bearer mlk_...`), an access token of the identity provider, or a
certificate in TLS. Each operation says in `x-roles` who may ask for it. Errors are
`application/problem+json`. Collections come in pages: ask again with `cursor`. An `Idempotency-Key`
makes a request safe to send again.
"""


def create_api(parts: ServiceParts) -> FastAPI:
    """Return the interface; `parts` stay open after it."""
    api = FastAPI(
        title="Meterlet utility",
        version=VERSION,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    api.state.parts = parts
    for module in ROUTERS:
        api.include_router(module.router, prefix="/v1")
    api.router.route_class = ServiceRoute
    operation(
        api.router, "GET", "/metrics", ANYONE, response_class=Response, tags=["operation"],
        responses={200: {"content": {"text/plain": {}}, "description": "For Prometheus."}},
    )(_metrics)  # fmt: skip
    api.add_route("/healthz", _healthy, methods=["GET"])
    api.add_route("/readyz", _ready, methods=["GET"])

    async def problem(request: Request, error: Exception) -> Response:
        return problem_response(error, _identification(request.scope))

    for kind in (*OURS, HTTPException, Problem, RequestValidationError):
        api.add_exception_handler(kind, problem)
    api.openapi = lambda: _described(api)  # type: ignore[method-assign]
    return api


def _described(api: FastAPI) -> dict[str, Any]:
    """Return the description, with how to show who one is."""
    if api.openapi_schema is None:
        found = get_openapi(
            title=api.title, version=api.version, description=api.description, routes=api.routes
        )
        schemes = found.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of a system (`mlk_...`), or an access token (JWT).",
        }
        schemes["certificate"] = {
            "type": "mutualTLS",
            "description": "A system's certificate, where the service asks for them.",
        }
        found["security"] = [{"bearer": []}, {"certificate": []}]
        api.openapi_schema = found
    return api.openapi_schema


def _metrics(request: Request) -> Response:
    """Return the service's figures for Prometheus; they say nothing of a customer."""
    metrics = parts_of(request).metrics
    return Response(metrics.text(), headers={"Content-Type": "text/plain; version=1.0.0"})


async def _healthy(_: Request) -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    """Say whether the database answers, and nothing else."""
    try:
        await to_thread.run_sync(_look, parts_of(request))
    except StoreError:
        return JSONResponse({"status": "not ready"}, 503)
    return JSONResponse({"status": "ready"})


def _look(parts: ServiceParts) -> None:
    with reading(parts.utility.engine) as connection:
        connection.execute(select(schema_table.c.version)).scalar_one()


def _identification(scope: Scope) -> str:
    found: str = scope.get("state", {}).get("identification", "")
    return found


class Entrance:
    """The outermost layer: bounds what comes in, names each request, and logs what came of it."""

    def __init__(self, app: ASGIApp, parts: ServiceParts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no WebSockets here
        headers = [(name.decode("latin-1"), value) for name, value in scope["headers"]]
        name = self._name(headers)
        scope.setdefault("state", {})["identification"] = name
        body = _BoundedBody(receive)
        status, begun = 500, time.monotonic()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (REQUEST_HEADER.lower().encode(), name.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            refused = self._refusal(scope, headers)
            if refused is not None:
                await problem_response(refused, name)(scope, receive, answer)
            else:
                await self._app(scope, body.receive, answer)
        except Exception as error:
            self._parts.settings.log("request-failed", {"request": name, "why": kind_of(error)})
            raise
        finally:
            self._log(scope, name, status, time.monotonic() - begun)

    def _name(self, headers: list[tuple[str, bytes]]) -> str:
        """Return the request's name: the client's, if it can stand in a log, else a new one."""
        given = [value for name, value in headers if name == REQUEST_HEADER.lower()]
        if len(given) == 1 and given[0].isascii():
            text = given[0].decode()
            if _IDENTIFICATION.fullmatch(text):
                return text
        return self._parts.settings.randomness(8).hex()

    def _refusal(self, scope: Scope, headers: list[tuple[str, bytes]]) -> Problem | None:
        hosts = [value.decode("latin-1") for name, value in headers if name == "host"]
        is_open = scope["path"] in ("/healthz", "/readyz")
        if not is_open and (len(hosts) != 1 or hosts[0] not in self._parts.settings.hosts):
            return Problem(421, "misdirected-request", "this is not the name of this service")
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw) > LONGEST_PATH or len(scope.get("query_string", b"")) > LONGEST_QUERY:
            return Problem(414, "address-too-long", "the address is too long")
        declared = [value for name, value in headers if name == "content-length"]
        if declared and (not declared[0].isdigit() or int(declared[0]) > LARGEST_BODY):
            why = f"at most {LARGEST_BODY} bytes"
            return Problem(413, "too-large", why, {"Connection": "close"})
        return None

    def _log(self, scope: Scope, name: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._parts.metrics.answered(method, route, status, seconds)
        facts: dict[str, object] = {
            "request": name, "method": method, "route": route, "status": status,
            "ms": round(1000 * seconds, 1),
        }  # fmt: skip
        principal = scope.get("state", {}).get("principal")
        if principal is not None:
            facts["who"] = principal.who
        self._parts.settings.log("request", facts)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _BoundedBody:
    """A request's body, which ends in a refusal once it is too large."""

    def __init__(self, inner: Callable[[], Awaitable[Message]]) -> None:
        self._inner, self._received = inner, 0

    async def receive(self) -> Message:
        """Return the next part."""
        message = await self._inner()
        self._received += len(message.get("body", b""))
        if self._received > LARGEST_BODY:
            raise HTTPException(413)  # the framework lets only these through
        return message


def create_service_api(parts: ServiceParts) -> ASGIApp:
    """Return the interface alone, behind its entrance."""
    return Entrance(create_api(parts), parts)
