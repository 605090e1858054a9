# SPDX-License-Identifier: Apache-2.0
"""What every request of the interface passes: who asks, may he, was it asked before, on record.

    authenticate -> role -> idempotency key -> audit (begun) -> the operation -> audit -> answer
                                    +-> asked before: audit (repeated) -> the answer of then

An operation says its roles where it is declared (`operation`), and the interface's description
shows them as `x-roles`. Without one, nobody may: there is no default that lets in.
"""

import hmac
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from anyio import CancelScope, to_thread
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from protocols.canonical.foreign_text import ForeignTextRefused, read_json
from utility_server.errors import AccessProblem, StoreError, kind_of
from utility_server.service.access.audit import BEGUN, CUT_OFF, LONGEST, REPEATED
from utility_server.service.access.roles import Principal, Role
from utility_server.service.access.tls_clients import SHOWN
from utility_server.service.api.problems import (
    MEDIA,
    OURS,
    Problem,
    ProblemDetails,
    problem_response,
)
from utility_server.service.parts import ServiceParts
from utility_server.service.words import place_of

SAFE_METHODS: Final = ("GET", "HEAD")
PRINCIPAL: Final = "meterlet.principal"
"""Where the console, in the same process, says who asks; no client can put anything there."""
KEY_HEADER: Final = "idempotency-key"
OF_BROWSERS: Final = ("origin", "sec-fetch-site", "sec-fetch-mode", "cookie", "referer")
"""A browser sends one of these at least."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_ROLES, _READS, _SECRET = "x-roles", "x-customer-data", "x-secret-answer"
ANYONE: Final = tuple(Role)


def parts_of(request: Request) -> ServiceParts:
    """Return what the service has."""
    parts: ServiceParts = request.app.state.parts
    return parts


def principal_of(request: Request) -> Principal:
    """Return who asks."""
    principal: Principal = request.state.principal
    return principal


def operation(
    router: APIRouter,
    method: str,
    path: str,
    roles: Iterable[Role],
    *,
    reads: bool = False,
    has_secret: bool = False,
    fails: Sequence[int] = (),
    status: int = 200,
    **more: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an operation, which one of `roles` may ask for.

    `reads`: it shows a customer's data, and each time is put on record; it changes nothing, so that
    asked again it is done again. `has_secret`: its answer is kept nowhere. What does change
    something answers nobody's name and address, since its answer is kept. `fails` are the errors
    that it may answer beside those of all operations.
    """
    extra = {**more.pop("openapi_extra", {}), _ROLES: sorted(roles)}
    if reads:
        extra[_READS] = True
    if has_secret:
        extra[_SECRET] = True
    common = (400, 401, 403, 413, 422, 429, 500, 503)
    changes = method not in SAFE_METHODS
    answers: dict[int | str, dict[str, Any]] = {
        code: {"model": ProblemDetails, "content": {MEDIA: {}}, "description": "A problem."}
        for code in sorted({*common, *fails, *((409,) if changes else ())})
    }
    answers |= more.pop("responses", {})
    if not changes:
        answers[304] = {"description": "As it was at `If-None-Match`."}
    elif not reads:
        extra["parameters"] = [
            *extra.get("parameters", []),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and request again get the same answer.",
                "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
            },
        ]
    return router.api_route(
        path, methods=[method], status_code=status, responses=answers, openapi_extra=extra, **more
    )


class ServiceRoute(APIRoute):
    """A route that nobody reaches unknown, unentitled or unrecorded."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        inner = super().get_route_handler()
        extra = self.openapi_extra or {}
        roles = frozenset(Role(name) for name in extra.get(_ROLES, ()))
        reads, has_secret = bool(extra.get(_READS)), bool(extra.get(_SECRET))
        action = self.operation_id or self.name

        async def handle(request: Request) -> Response:
            passage = _Passage(request, action, roles, reads=reads, has_secret=has_secret)
            try:
                return await passage.answer(inner)
            except (*OURS, HTTPException, Problem, RequestValidationError) as error:
                return problem_response(error, request.state.identification)
            except Exception as error:  # noqa: BLE001 - said in the log, and in our form to the client
                return passage.failed(error)

        return handle


class _Passage:
    """One request on its way."""

    def __init__(
        self,
        request: Request,
        action: str,
        roles: frozenset[Role],
        *,
        reads: bool,
        has_secret: bool,
    ) -> None:
        self.request, self.action, self.roles = request, action, roles
        self.reads, self.has_secret = reads, has_secret
        self.parts = parts_of(request)
        self.changes = request.method not in SAFE_METHODS

    async def answer(self, inner: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        request, parts = self.request, self.parts
        principal = await to_thread.run_sync(_authenticated, parts, request)
        if self.changes:
            # A last byte can come late: whether the key counts is asked once all is there, and
            # before that only so that nobody unknown has a body read.
            await request.body()
            principal = await to_thread.run_sync(_authenticated, parts, request)
        request.state.principal = principal
        if not principal.may(self.roles):
            parts.metrics.refused("role")
            await self._record(principal, "403")
            needed = " or ".join(sorted(self.roles))
            raise Problem(403, "role-missing", f"this needs the role {needed}")
        if self.changes and "json" in request.headers.get("content-type", ""):
            _require_each_once(await request.body())
        key = await self._key()
        if key is not None:
            known = await to_thread.run_sync(parts.repeated.begin, principal.who, *key)
            if known is not None:  # on record like the first time, though nothing is done
                await self._record(principal, f"{REPEATED} {known.status_code}")
                return known
        try:
            response = await self._done(inner, principal)
        except BaseException:
            if key is not None:
                await to_thread.run_sync(parts.repeated.forget, principal.who, key[0])
            raise
        if key is not None:
            await to_thread.run_sync(self._keep, principal.who, key[0], response)
        return _with_tag(request, response) if not self.changes else response

    async def _done(
        self, inner: Callable[[Request], Coroutine[Any, Any, Response]], principal: Principal
    ) -> Response:
        """Do it, with what has to be on record on record: before a change, and before an answer."""
        if self.changes:
            await self._record(principal, BEGUN)
        try:
            response = await inner(self.request)
        except (*OURS, HTTPException, Problem, RequestValidationError) as error:
            response = problem_response(error, self.request.state.identification)
        except Exception as error:  # noqa: BLE001 - a bug, which has an outcome like all else
            response = self.failed(error)
        except BaseException:  # the process ends, or whoever has asked is gone
            if self.changes:
                with CancelScope(shield=True):
                    await self._record(principal, CUT_OFF)
            raise
        if self.changes or self.reads:
            await self._record(principal, str(response.status_code))
        return response

    def failed(self, error: Exception) -> Response:
        """Answer that something went wrong here; the log has its kind and place, nothing sent."""
        name = self.request.state.identification
        facts = {"request": name, "why": kind_of(error), "at": place_of(error)}
        self.parts.settings.log("request-failed", facts)
        return problem_response(error, name)

    async def _key(self) -> tuple[str, bytes] | None:
        """Return the idempotency key and what it stands for, None where there is none."""
        request = self.request
        keys = request.headers.getlist(KEY_HEADER)
        if not keys or not self.changes or self.reads:
            return None
        if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
            raise Problem(400, "invalid-idempotency-key", "1 to 128 visible ASCII characters")
        body = await request.body()
        content_type = request.headers.get("content-type", "")
        parts = (request.method, request.url.path, request.url.query, content_type)
        # Under a key of ours: of a hash alone, a name and address could be found by trying.
        digest = hmac.new(self.parts.repeated.secret, digestmod=sha256)
        for part in (*(text.encode() for text in parts), body):
            digest.update(len(part).to_bytes(8, "big") + part)
        return keys[0], digest.digest()

    def _keep(self, who: str, key: str, response: Response) -> None:
        self.parts.repeated.done(who, key, response, has_secret=self.has_secret)

    async def _record(self, principal: Principal, outcome: str) -> None:
        target = " ".join(f"{name}={value}" for name, value in self.request.path_params.items())
        if not target and self.reads and (meter := self.request.query_params.get("meter")):
            target = f"meter={meter}"
        # What a client has written is cut; what an operation says of itself is said whole.
        target = str(getattr(self.request.state, "target", "")) or target[:LONGEST]
        target = "".join(one if one.isprintable() else "?" for one in target)
        request = self.request.state.identification
        await to_thread.run_sync(
            self.parts.audit.append, principal.who, self.action, target, outcome, request
        )


def _require_each_once(body: bytes) -> None:
    """Raise a `Problem` where a member of an object is there twice: the last would count unsaid."""

    def members(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Problem(422, "invalid-request", "a member of an object is there twice")

    with suppress(ForeignTextRefused):  # what is no JSON is refused where it is read
        read_json(body, object_pairs_hook=members)


def _authenticated(parts: ServiceParts, request: Request) -> Principal:
    """Return who asks; raise a `Problem` where that is nobody who is known."""
    inside = request.scope.get(PRINCIPAL)
    if isinstance(inside, Principal):
        return inside
    headers = request.headers.getlist("authorization")
    shown = request.scope.get("state", {}).get(SHOWN)
    if not headers and shown is not None:
        return _by_certificate(parts, request, shown)
    if not headers:
        parts.metrics.refused("nothing shown")
        challenge = {"WWW-Authenticate": 'Bearer realm="meterlet"'}
        raise Problem(401, "not-authenticated", "show a key or an access token", challenge)
    scheme, _, text = headers[0].partition(" ")
    found = None
    if len(headers) == 1 and scheme.lower() == "bearer" and text.isascii():
        if text.startswith("mlk_"):
            found = parts.api_keys.find(text)
        elif parts.tokens is not None:
            try:
                found = parts.tokens.find(text)
            except StoreError:
                raise
            except AccessProblem as error:
                raise Problem(503, "identity-provider", str(error), {"Retry-After": "10"}) from None
    if found is None:
        parts.metrics.refused("not right")
        challenge = {"WWW-Authenticate": 'Bearer realm="meterlet", error="invalid_token"'}
        raise Problem(401, "not-authenticated", "the key or token does not count", challenge)
    return found


def _by_certificate(parts: ServiceParts, request: Request, shown: bytes) -> Principal:
    """Return whose certificate the connection has shown."""
    if any(name in request.headers for name in OF_BROWSERS):
        # A browser shows a certificate unasked, for any page that sends it here.
        parts.metrics.refused("certificate in a browser")
        raise Problem(403, "certificate-in-a-browser", "certificates are for systems, not browsers")
    found = parts.client_certificates.find(shown)
    if found is None:
        parts.metrics.refused("not right")
        challenge = {"WWW-Authenticate": 'Bearer realm="meterlet"'}
        raise Problem(401, "not-authenticated", "the certificate does not count", challenge)
    return found


def _with_tag(request: Request, response: Response) -> Response:
    """Return the answer with its entity tag, or that it is as it was."""
    response.headers.setdefault("Cache-Control", "no-store")
    if response.status_code != 200:
        return response
    tag = f'"{sha256(bytes(response.body)).hexdigest()[:32]}"'
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": "no-store"})
    response.headers["ETag"] = tag
    return response
