# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of systems, the audit log, and who asks."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from utility_server.errors import AccessProblem
from utility_server.service.access.api_keys import ApiKey
from utility_server.service.access.audit import AuditEntry
from utility_server.service.access.client_certificates import ClientCertificate, read_certificate
from utility_server.service.access.roles import Role
from utility_server.service.api.models import (
    ApiKeyState,
    AuditHead,
    AuditLine,
    ClientCertificateState,
    DigestText,
    KeyText,
    Me,
    NewApiKey,
    NewClientCertificate,
    Page,
    ShownApiKey,
)
from utility_server.service.api.operation import (
    ANYONE,
    ServiceRoute,
    operation,
    parts_of,
    principal_of,
)
from utility_server.service.api.paging import OLDEST, Cursor, Limit, Order, page_of
from utility_server.service.api.problems import Problem
from utility_server.service.words import utc_text

router = APIRouter(tags=["administration"], route_class=ServiceRoute)
DAY_SECONDS: Final = 86_400
Fingerprint = Annotated[DigestText, Path(description="The certificate's SHA-256, in hex.")]
Identification = Annotated[KeyText, Path(description="The key's identification.")]


@operation(router, "GET", "/me", ANYONE, response_model=Me)
def who_am_i(request: Request) -> Any:
    """Say who asks, and with which roles."""
    principal = principal_of(request)
    return Me(who=principal.who, roles=sorted(principal.roles))


@operation(router, "GET", "/api-keys", (Role.ADMIN, Role.AUDITOR), response_model=list[ApiKeyState])
def list_api_keys(request: Request) -> Any:
    """List the keys of systems, without their secrets."""
    return [_key(one) for one in parts_of(request).api_keys.all()]


@operation(
    router, "POST", "/api-keys", (Role.ADMIN,), status=201, has_secret=True,
    response_model=ShownApiKey,
)  # fmt: skip
def create_api_key(request: Request, response: Response, body: NewApiKey) -> Any:
    """Make a key; its text is shown this once, and kept nowhere."""
    keys = parts_of(request).api_keys
    key, text = keys.create(body.name, frozenset(body.roles), body.days * DAY_SECONDS)
    response.headers["Cache-Control"] = "no-store"
    return ShownApiKey(**_key(key).model_dump(), secret=text)


@operation(
    router, "POST", "/api-keys/{key}/revocation", (Role.ADMIN,), fails=(404,),
    response_model=ApiKeyState,
)  # fmt: skip
def revoke_api_key(request: Request, key: Identification) -> Any:
    """Let a key count no more, from the next request on."""
    try:
        return _key(parts_of(request).api_keys.revoke(key))
    except AccessProblem as error:
        raise Problem(404, "not-found", str(error)) from None


@operation(
    router, "GET", "/client-certificates", (Role.ADMIN, Role.AUDITOR),
    response_model=list[ClientCertificateState],
)  # fmt: skip
def list_client_certificates(request: Request) -> Any:
    """List the certificates of systems."""
    return [_certificate(one) for one in parts_of(request).client_certificates.all()]


@operation(
    router, "POST", "/client-certificates", (Role.ADMIN,), status=201,
    response_model=ClientCertificateState,
)  # fmt: skip
def register_client_certificate(request: Request, body: NewClientCertificate) -> Any:
    """Let a system ask with a certificate that it has; TLS knows it within seconds."""
    found = read_certificate(body.certificate.encode())
    known = parts_of(request).client_certificates
    made = known.register(body.name, frozenset(body.roles), found)
    request.state.target = f"fingerprint={made.fingerprint}"
    return _certificate(made)


@operation(
    router, "POST", "/client-certificates/{fingerprint}/withdrawal", (Role.ADMIN,), fails=(404,),
    response_model=ClientCertificateState,
)  # fmt: skip
def withdraw_client_certificate(request: Request, fingerprint: Fingerprint) -> Any:
    """Let a certificate count no more, from the next request on, on open connections, too."""
    try:
        return _certificate(parts_of(request).client_certificates.withdraw(fingerprint))
    except AccessProblem as error:
        raise Problem(404, "not-found", str(error)) from None


@operation(router, "GET", "/audit", (Role.AUDITOR,), response_model=Page[AuditLine])
def list_audit(
    request: Request, limit: Limit = 50, cursor: Cursor = None, order: Order = OLDEST
) -> Any:
    """List who asked the service for what; a record check verifies the chain."""
    audit = parts_of(request).audit

    def rows(after: list[Any] | None, count: int) -> list[AuditEntry]:
        at = None if after is None else int(after[0])
        return audit.page(at or 0, count) if order == OLDEST else audit.page_before(at, count)

    return page_of(
        request, ["audit", order], cursor, limit, rows, lambda one: [one.sequence], _line
    )


@operation(router, "GET", "/audit/head", (Role.AUDITOR,), response_model=AuditHead)
def audit_head(request: Request) -> Any:
    """Return the audit log's end: whoever keeps it can tell later that nothing was cut off."""
    head = parts_of(request).audit.head()
    return AuditHead(entries=head.entries, digest=head.digest.hex())


def _key(key: ApiKey) -> ApiKeyState:
    return ApiKeyState(
        key=key.identification,
        name=key.name,
        roles=sorted(key.roles),
        created=utc_text(key.created),
        expires=utc_text(key.expires) if key.expires else None,
        revoked=utc_text(key.revoked) if key.revoked else None,
    )


def _certificate(one: ClientCertificate) -> ClientCertificateState:
    return ClientCertificateState(
        fingerprint=one.fingerprint,
        name=one.name,
        roles=sorted(one.roles),
        registered=utc_text(one.registered),
        expires=utc_text(one.expires),
        withdrawn=utc_text(one.withdrawn) if one.withdrawn else None,
    )


def _line(entry: AuditEntry) -> AuditLine:
    return AuditLine(
        number=entry.sequence,
        time=utc_text(entry.time),
        who=entry.who,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        request=entry.request,
        digest=entry.digest.hex(),
    )
