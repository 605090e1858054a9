# SPDX-License-Identifier: Apache-2.0
"""The programming interface: the views as JSON, for the resident's own programs, read only.

A Starlette application that the pages mount under `/api`; `/api/openapi.json` describes it
(OpenAPI 3.1, made from the same tables as the routes). Each request names a bearer token
(RFC 6750) with the scope its operation needs; below `/v1/read` readers ask, with a login of their
own (`remote_reading`). The hub is opened for each request and closed after
it, so that whoever writes meanwhile is seen.

    400 a parameter is wrong   401 no token that holds   403 not in the token's scopes
    404 there is nothing such  409 cannot be computed    429 too often: see Retry-After
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.device import Device
from hub.disclosure import ReleaseRefused
from hub.disclosure.refusals import RefusalSums
from hub.inspection.api.json_views import ErrorJson
from hub.inspection.api.login import (
    CHALLENGES,
    LOGIN_BYTES,
    Login,
    PasswordCheck,
    decode_login,
    session_json,
)
from hub.inspection.api.openapi import LOGIN_PATH, openapi_document
from hub.inspection.api.operations import OPERATIONS, ApiRefused, ApiSession, Operation
from hub.inspection.api.rate_limit import RateLimit
from hub.inspection.api.remote_reading import READ_OPERATIONS, ReaderSession, answer_of, problem
from hub.inspection.api.tokens import Token, TokenRefused, Tokens
from hub.inspection.errors import SHOWN_ERRORS, http_status
from hub.inspection.readers.readers import LoginRefused, Readers
from hub.inspection.store import open_inspection
from hub.inspection.views.bill import BillProofs
from hub.network_source import source_of

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
LONGEST_TOKEN: Final = 128
UNKNOWN: Final = 401


@dataclass(slots=True)
class _Api:
    open_device: Callable[[], AbstractContextManager[Device]]
    proofs: BillProofs | None
    requests: RateLimit
    failures: RateLimit
    passwords: PasswordCheck | None
    refusals: RefusalSums | None = None
    """Of readers: counted on from request to request, so that none fills the log."""

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

    def read(self, operation: Operation, request: Request) -> Response:
        """Return what a reader asks for, or what is wrong with the request."""

        def answered(device: Device, readers: Readers, now: int) -> Response:
            reader = self._login.reader(request, readers, _address(request), now)
            self._take(f"reader {reader.number}", now)
            query = operation.parse(request.query_params.multi_items(), request.path_params)
            return answer_of(
                operation.answer(ReaderSession(device, reader), query), request, device
            )

        return self._with_readers(answered)

    def log_in(self, request: Request, body: bytes) -> Response:
        """Return a session for a reader's name and password, or what is wrong with the request."""

        def answered(device: Device, readers: Readers, now: int) -> Response:
            login = decode_login(body, request.headers.get("content-type", ""))
            reader = self._login.by_password(
                readers, login.name, login.password, _address(request), now
            )
            self._take(f"reader {reader.number}", now)
            session = session_json(*readers.begin_session(reader))
            return JSONResponse(session.as_json(), headers=HEADERS)

        return self._with_readers(answered)

    def _with_readers(self, answered: Callable[[Device, Readers, int], Response]) -> Response:
        try:
            with self.open_device() as device, open_inspection(device) as database:
                if self.refusals is not None:
                    device.disclosure.refusals.go_on_from(self.refusals)
                try:
                    return answered(device, Readers(database, device), device.now())
                finally:
                    self.refusals = device.disclosure.refusals
        except LoginRefused as refused:
            return problem(401, str(refused), {"WWW-Authenticate": CHALLENGES})
        except ApiRefused as refused:
            headers = {"WWW-Authenticate": CHALLENGES} if refused.http_status == UNKNOWN else {}
            return problem(refused.http_status, str(refused), {**headers, **refused.headers})
        except ReleaseRefused as refused:
            return problem(403, str(refused))
        except SHOWN_ERRORS as error:
            wait = getattr(error, "seconds", None)
            return problem(http_status(error), str(error), wait and {"Retry-After": str(wait)})

    @property
    def _login(self) -> Login:
        return Login(self.passwords, self.failures.take)

    def _take(self, key: str, now: int) -> None:
        if wait := self.requests.take(key, now):
            raise ApiRefused(429, "too many requests", {"Retry-After": str(wait)})

    def _admit(self, operation: Operation, request: Request, tokens: Tokens, now: int) -> None:
        token = self._token(request, tokens, source_of(_address(request)), now)
        self._take(str(token.number), now)
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


class PathNumber(Convertor[int]):
    """A number in an address; one of more digits is of nothing that there is."""

    regex = "[0-9]{1,18}"  # Python refuses to read thousands of digits, with an error of its own

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the number as an address has it."""
        return str(value)


register_url_convertor("int", PathNumber())  # also of the pages, whose application takes this one


def create_api(
    open_device: Callable[[], AbstractContextManager[Device]],
    proofs: BillProofs | None = None,
    *,
    requests: RateLimit | None = None,
    failures: RateLimit | None = None,
    passwords: PasswordCheck | None = None,
) -> Starlette:
    """Return the application; `open_device` opens the hub for one request.

    Without `passwords`, readers have tokens alone.
    """
    api = _Api(
        open_device,
        proofs,
        requests or RateLimit(burst=60, per_minute=120),
        failures or RateLimit(burst=10, per_minute=6),
        passwords,
    )
    document = openapi_document(OPERATIONS, READ_OPERATIONS)

    def describe(_: Request) -> Response:
        return JSONResponse(document, headers=HEADERS)

    routes = [Route("/openapi.json", describe, methods=["GET"])]
    routes += [
        Route(operation.path, _endpoint(api, operation), methods=["GET"])
        for operation in (*OPERATIONS, *READ_OPERATIONS)
    ]
    routes.append(Route(LOGIN_PATH, _login_endpoint(api), methods=["POST"]))
    handlers: Any = {404: _not_found, 405: _not_found}
    return Starlette(routes=routes, exception_handlers=handlers)


def _endpoint(api: _Api, operation: Operation) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        if operation.scope is None:
            return api.read(operation, request)
        return api.answer(operation, request)

    return endpoint


def _login_endpoint(api: _Api) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LOGIN_BYTES:
                return problem(413, f"a login has at most {LOGIN_BYTES} bytes")
        return await run_in_threadpool(api.log_in, request, body)

    return endpoint


def _address(request: Request) -> str:
    """Return where a request comes from; no header says so."""
    return "" if request.client is None else request.client.host


def _not_found(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _refusal(status, "there is no such operation")


def _refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(ErrorJson(error=reason).as_json(), status, {**HEADERS, **(headers or {})})
