# SPDX-License-Identifier: Apache-2.0
"""The programming interface: the views as JSON, for the resident's own programs, read only.

A Starlette application that the pages mount under `/api`; `/api/openapi.json` describes it
(OpenAPI 3.1, made from the same table as the routes). Each request names a bearer token
(RFC 6750) with the scope its operation needs. The hub is opened for each request and closed after
it, so that whoever writes meanwhile is seen.

    400 a parameter is wrong   401 no token that holds   403 not in the token's scopes
    404 there is nothing such  409 cannot be computed    429 too often: see Retry-After
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.device import Device
from hub.errors import HubError
from hub.inspection.api.json_views import ErrorJson
from hub.inspection.api.openapi import openapi_document
from hub.inspection.api.operations import OPERATIONS, ApiSession, Operation
from hub.inspection.api.rate_limit import RateLimit
from hub.inspection.api.tokens import Token, TokenRefused, Tokens
from hub.inspection.errors import SHOWN_ERRORS, http_status
from hub.inspection.store import open_inspection
from hub.inspection.views.bill import BillProofs
from hub.network_source import source_of

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
LONGEST_TOKEN: Final = 128


class ApiRefused(HubError):
    """A request that is answered with no view: `headers` go with the refusal."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        super().__init__(reason)
        self.http_status, self.headers = status, headers


@dataclass(frozen=True, slots=True)
class _Api:
    open_device: Callable[[], AbstractContextManager[Device]]
    proofs: BillProofs | None
    requests: RateLimit
    failures: RateLimit

    def answer(self, operation: Operation, request: Request) -> Response:
        """Return what an operation says, or what is wrong with the request."""
        try:
            with self.open_device() as device, open_inspection(device) as database:
                self._admit(operation, request, Tokens(database, device), device.now())
                query = operation.parse(request.query_params.multi_items(), request.path_params)
                session = ApiSession(device, database, self.proofs)
                return JSONResponse(operation.answer(session, query).as_json(), headers=HEADERS)
        except ApiRefused as refused:
            return _refusal(refused.http_status, str(refused), refused.headers)
        except SHOWN_ERRORS as error:
            return _refusal(http_status(error), str(error))

    def _admit(self, operation: Operation, request: Request, tokens: Tokens, now: int) -> None:
        peer = "" if request.client is None else source_of(request.client.host)
        token = self._token(request, tokens, peer, now)
        if wait := self.requests.take(str(token.number), now):
            raise ApiRefused(429, "too many requests", {"Retry-After": str(wait)})
        if operation.scope not in token.scopes:
            scope = f'Bearer error="insufficient_scope", scope="{operation.scope}"'
            reason = f"the token is not for {operation.scope}"
            raise ApiRefused(403, reason, {"WWW-Authenticate": scope})

    def _token(self, request: Request, tokens: Tokens, peer: str, now: int) -> Token:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not text:
            raise ApiRefused(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        try:
            if scheme.lower() != "bearer" or len(text) > LONGEST_TOKEN:
                raise TokenRefused("not a bearer token")
            return tokens.authenticate(text)
        except TokenRefused as refused:
            # A right token never waits: whoever guesses next to its holder locks nobody out.
            if wait := self.failures.take(peer, now):
                reason, waiting = "too many wrong tokens", {"Retry-After": str(wait)}
                raise ApiRefused(429, reason, waiting) from None
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise ApiRefused(401, str(refused), challenge) from None


def create_api(
    open_device: Callable[[], AbstractContextManager[Device]],
    proofs: BillProofs | None = None,
    *,
    requests: RateLimit | None = None,
    failures: RateLimit | None = None,
) -> Starlette:
    """Return the application; `open_device` opens the hub for one request."""
    api = _Api(
        open_device,
        proofs,
        requests or RateLimit(burst=60, per_minute=120),
        failures or RateLimit(burst=10, per_minute=6),
    )
    document = openapi_document(OPERATIONS)

    def describe(_: Request) -> Response:
        return JSONResponse(document, headers=HEADERS)

    routes = [Route("/openapi.json", describe, methods=["GET"])]
    routes += [
        Route(operation.path, _endpoint(api, operation), methods=["GET"])
        for operation in OPERATIONS
    ]
    handlers: Any = {404: _not_found, 405: _not_found}
    return Starlette(routes=routes, exception_handlers=handlers)


def _endpoint(api: _Api, operation: Operation) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return api.answer(operation, request)

    return endpoint


def _not_found(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _refusal(status, "there is no such operation")


def _refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(ErrorJson(error=reason).as_json(), status, {**HEADERS, **(headers or {})})
