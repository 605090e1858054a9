# SPDX-License-Identifier: Apache-2.0
"""Tariffs: what bills may be asked under, each with its validity."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from tariffs.source import load_toml
from utility_server.service.access.roles import Role
from utility_server.service.api.models import DigestText, Page, TariffState
from utility_server.service.api.operation import ANYONE, ServiceRoute, operation, parts_of
from utility_server.service.api.paging import Body, Cursor, Limit, page_of
from utility_server.service.api.problems import Problem
from utility_server.service.tariff_register import RegisteredTariff
from utility_server.service.words import utc_text

router = APIRouter(prefix="/tariffs", tags=["tariffs"], route_class=ServiceRoute)
Digest = Annotated[DigestText, Path(description="The tariff's digest in hex.")]
SIGNED, SOURCE = "application/cose", "application/toml"
_DOCUMENT: Final = {
    "requestBody": {
        "required": True,
        "description": "A document that this utility has signed, or a tariff's source to sign.",
        "content": {
            SIGNED: {"schema": {"type": "string", "format": "binary"}},
            SOURCE: {"schema": {"type": "string"}},
        },
    }
}


@operation(router, "GET", "", ANYONE, response_model=Page[TariffState])
def list_tariffs(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the registered tariffs, in the order of their digests."""
    tariffs = parts_of(request).tariffs
    return page_of(
        request, ["tariffs"], cursor, limit,
        lambda after, count: tariffs.page(b"" if after is None else bytes(after[0]), count),
        lambda one: [one.digest], tariff_state,
    )  # fmt: skip


@operation(
    router, "POST", "", (Role.BILLING,), status=201, fails=(409, 415), response_model=TariffState,
    openapi_extra=_DOCUMENT,
)  # fmt: skip
def register_tariff(request: Request, response: Response, data: Body) -> TariffState:
    """Register a signed tariff, or sign a source and register that; again changes nothing.

    One that was withdrawn is refused: its prices need a new revision.
    """
    tariffs = parts_of(request).tariffs
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == SIGNED:
        found, _ = tariffs.register(data)
    elif kind == SOURCE:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Problem(422, "invalid-request", "a tariff's source is UTF-8 text") from None
        found, _ = tariffs.sign(load_toml(text))
    else:
        raise Problem(415, "unsupported-media-type", f"send {SIGNED} or {SOURCE}")
    response.headers["Location"] = f"/v1/tariffs/{found.digest.hex()}"
    return tariff_state(found)


@operation(router, "GET", "/{digest}", ANYONE, fails=(404,), response_model=TariffState)
def show_tariff(request: Request, digest: Digest) -> Any:
    """Show a tariff."""
    return tariff_state(_known(request, digest))


@operation(
    router, "GET", "/{digest}/document", ANYONE, fails=(404,), response_class=Response,
    responses={200: {"content": {SIGNED: {}}, "description": "The signed document."}},
)  # fmt: skip
def tariff_document(request: Request, digest: Digest) -> Response:
    """Return the document as it was signed."""
    return Response(_known(request, digest).document, media_type=SIGNED)


@operation(
    router, "POST", "/{digest}/withdrawal", (Role.BILLING,), fails=(404,),
    response_model=TariffState,
)  # fmt: skip
def withdraw_tariff(request: Request, digest: Digest) -> Any:
    """Let nothing new be asked under a tariff; what was asked stays."""
    found = parts_of(request).tariffs.withdraw(bytes.fromhex(digest))
    if found is None:
        raise Problem(404, "not-found", "no such tariff is registered")
    return tariff_state(found)


def _known(request: Request, digest: str) -> RegisteredTariff:
    found = parts_of(request).tariffs.find(bytes.fromhex(digest))
    if found is None:
        raise Problem(404, "not-found", "no such tariff is registered")
    return found


def tariff_state(tariff: RegisteredTariff) -> TariffState:
    """Return a tariff as the interface shows it."""
    return TariffState(
        digest=tariff.digest.hex(),
        name=tariff.name,
        revision=tariff.revision,
        first=tariff.first,
        last=tariff.last,
        registered=utc_text(tariff.registered),
        withdrawn=utc_text(tariff.withdrawn) if tariff.withdrawn else None,
    )
