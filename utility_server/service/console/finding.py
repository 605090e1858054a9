# SPDX-License-Identifier: Apache-2.0
"""The pages on which something is found: all invoices, and what was searched for."""

from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from utility_server.service.access.roles import Role
from utility_server.service.console.inside import InsideAnswer
from utility_server.service.console.sought import open_text, seal_text
from utility_server.service.console.visit import ConsolePage, Visit
from utility_server.service.console.words import hit_address

READERS: Final = (Role.BILLING, Role.AUDITOR)
SHOWN: Final = 50
FILTERS: Final = ("month", "state", "meter")


async def invoices(visit: Visit) -> Response:
    """List the invoices, the newest first: all, or those of a month, a state or a meter."""
    chosen = {name: text for name in FILTERS if (text := visit.value(name).strip())}
    query = {"limit": SHOWN, "order": "newest", **chosen}
    if cursor := visit.value("cursor"):
        query["cursor"] = cursor
    answer = await visit.inside.ask("GET", "/v1/invoices", query=query)
    page: Any = answer.json if answer.is_fine else {"items": [], "next": None}
    address = "/invoices" + (f"?{urlencode(chosen)}" if chosen else "")
    return visit.page(
        "invoices.html", refused="" if answer.is_fine else answer, page=page, address=address,
        month=chosen.get("month", ""), state=chosen.get("state", ""), meter=chosen.get("meter", ""),
    )  # fmt: skip


async def look_for(visit: Visit) -> Response:
    """Go to what is found of a text."""
    text = visit.fields.get("text", "").strip()[:120]
    if not text:
        return _nothing(visit, "Say what to look for: a meter, a contract, an invoice or a name.")
    return visit.see(f"/search?sought={seal_text(visit, text)}")


async def found(visit: Visit) -> Response:
    """Show what was found, or go there if it is just one."""
    sought = visit.value("sought")
    text = open_text(visit, sought)
    if not text:
        return _nothing(visit, is_lost=bool(sought))
    answer = await visit.inside.ask("POST", "/v1/search", {"text": text, "limit": SHOWN})
    if not answer.is_fine:
        return _nothing(visit, answer)
    hits = answer.json["items"]
    # A number that is just so is the one that was meant. A word of a name is not: others begin so.
    is_number = any(hit["exact"] and hit["kind"] != "name" for hit in hits)
    only = {hit_address(hit) for hit in hits if hit["exact"] or not is_number}
    if len(only) == 1 and not answer.json["more"]:
        return visit.see(only.pop())
    return visit.page("search.html", found=answer.json, sought=text, is_lost=False)


def _nothing(visit: Visit, refused: InsideAnswer | str = "", *, is_lost: bool = False) -> Response:
    status = 422 if refused else 200
    return visit.page("search.html", status, refused, found=None, sought="", is_lost=is_lost)


PAGES: Final = (
    ConsolePage("/invoices", invoices, READERS),
    ConsolePage("/search", found, READERS),
    ConsolePage("/search", look_for, READERS, "POST"),
)
