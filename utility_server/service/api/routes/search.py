# SPDX-License-Identifier: Apache-2.0
"""Search: one field for a meter, a contract, an invoice or a name."""

from typing import Any, Final

from fastapi import APIRouter, Request

from utility_server.service.access.roles import Role
from utility_server.service.api.models import FoundModel, HitModel, SearchModel
from utility_server.service.api.operation import (
    ServiceRoute,
    operation,
    parts_of,
    principal_of,
)
from utility_server.service.api.searching import Hit, HitKind, Search

router = APIRouter(tags=["search"], route_class=ServiceRoute)
READERS: Final = (Role.BILLING, Role.AUDITOR)
SEE_NAMES: Final = (Role.BILLING,)
"""Who may see names: those of `show_party`."""


@operation(router, "POST", "/search", READERS, reads=True, response_model=FoundModel)
def search(request: Request, body: SearchModel) -> Any:
    """Find a meter, a contract or an invoice by number, and a customer by name; or how it begins.

    The text is in the body, so that no name stands in an address or a log. Names are found by whom
    may see them, of two letters on, or as whole words. Whatever is exact comes first.
    """
    parts = parts_of(request)
    # Whoever may see no name finds nothing by one either, and so learns of none by trying.
    parties = parts.parties if principal_of(request).may(SEE_NAMES) else None
    found, more = Search(parts.utility, parties).find(body.text.strip(), body.limit)
    # Not what was looked for, but whose names were shown: nobody goes through them unrecorded.
    named = dict.fromkeys(one.meter.hex() for one in found if one.kind is HitKind.NAME)
    request.state.target = f"names={','.join(named)}" if named else ""
    return FoundModel(items=[_hit(one) for one in found], more=more)


def _hit(hit: Hit) -> HitModel:
    return HitModel(
        kind=hit.kind,
        meter=hit.meter.hex(),
        exact=hit.is_exact,
        account=hit.account.hex() or None,
        invoice=hit.invoice or None,
        name=hit.name or None,
    )
