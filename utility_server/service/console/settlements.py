# SPDX-License-Identifier: Apache-2.0
"""The pages of settlement: runs over many customers, and what was settled."""

import base64
import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from utility_server.service.access.roles import Role
from utility_server.service.api.models import MeterText
from utility_server.service.console.inside import InsideAnswer
from utility_server.service.console.visit import ConsolePage, Visit, last_month
from utility_server.service.console.words import CLAIM_GROUPS, LIVE

READERS: Final = (Role.SETTLEMENT, Role.AUDITOR)
ASKERS: Final = (Role.SETTLEMENT,)
SHOWN: Final = 50
LARGEST_DOCUMENT: Final = 750_000
"""In bytes; in Base64 it is as long as the interface takes."""
MOST_ROWS: Final = 10_000
COLUMNS: Final = (("meter", "supplier"), ("meter", "supplier", "hub"))
"""Of a list of customers; the second is what `meterlet utility settle --customers` takes."""
DAY: Final = 86_400
METER: Final = TypeAdapter(MeterText)
CANCELS: Final = {
    "runs": "What has been answered is entered, and nobody else is asked. Who has not answered is"
    " left out of the shares.",
    "profiles": "What has been answered is entered, and nobody else is asked.",
    "groups": "It ends after the region of the moment. That region's round goes on, and its number"
    " is known to the MDMS.",
}


class FormRefused(Exception):
    """What a form says cannot be made into a request."""


@dataclass(frozen=True, slots=True)
class RunKind:
    """A kind of run that these pages begin and show."""

    name: str
    """In the pages' addresses."""
    api: str
    order: Callable[[Visit], dict[str, Any]]
    """Returns the request that begins one; raises `FormRefused`."""

    @property
    def page(self) -> str:
        """The address of its list."""
        return "/settlement" if self.name == "runs" else f"/settlement/{self.name}"


# What forms say


def _days(visit: Visit) -> dict[str, Any]:
    fields = visit.fields
    if fields.get("what") == "period":
        return {"period": {name: fields.get(name, "").strip() for name in ("from", "until")}}
    return {"month": fields.get("month", "").strip()}


def _document(visit: Visit, name: str, what: str) -> str:
    content = visit.files.get(name, b"")
    if not content:
        raise FormRefused(f"Choose the file of the {what}")
    return base64.b64encode(content).decode()


def _wait(visit: Visit) -> int:
    text = visit.fields.get("wait_days", "").strip() or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 3):
        raise FormRefused("Days that hubs are waited for: it is a whole number, 0 to 365")
    return int(text) * DAY


def _settlement(visit: Visit) -> dict[str, Any]:
    body = {**_days(visit), "wait_seconds": _wait(visit)}
    body["index"] = _document(visit, "index", "price index")
    if visit.fields.get("whose") != "listed":
        name = visit.fields.get("supplier", "").strip()
        if not name:
            raise FormRefused("Supplier: say whose customers they are")
        return {**body, "suppliers": {name: []}}
    suppliers, addresses = members(visit.files.get("customers", b""))
    return {**body, "suppliers": suppliers, "addresses": addresses}


def members(content: bytes) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return each supplier's meters, and the hubs' addresses, of a list of customers in CSV.

    Raises `FormRefused`, which says in which line something is wrong.
    """
    if not content:
        raise FormRefused("Choose the file with the list of customers")
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = tuple(next(rows, ()))
        if header not in COLUMNS:
            raise FormRefused("The list's first line is meter,supplier or meter,supplier,hub")
        suppliers: dict[str, list[str]] = {}
        addresses: dict[str, str] = {}
        for row in rows:
            where = f"The list's line {rows.line_num}"
            if rows.line_num > MOST_ROWS + 1:
                raise FormRefused(f"The list has more than {MOST_ROWS} lines")
            if len(row) != len(header):
                raise FormRefused(f"{where}: it has not {len(header)} columns")
            try:
                meter = METER.validate_python(row[0].strip().lower())
            except ValidationError:
                raise FormRefused(f"{where}: a meter is 1 to 32 bytes in hex") from None
            suppliers.setdefault(row[1].strip(), []).append(meter)
            if len(row) > 2 and row[2].strip():
                addresses[meter] = row[2].strip()
    except (csv.Error, UnicodeDecodeError):
        raise FormRefused("The list of customers is not CSV in UTF-8") from None
    return suppliers, addresses


def _profiles(visit: Visit) -> dict[str, Any]:
    fields = visit.fields
    body = {**_days(visit), "wait_seconds": _wait(visit), "method": fields.get("method", "")}
    if one_in := fields.get("one_in", "").strip():
        body["one_in"] = one_in
    body["profiles"] = _document(visit, "profiles", "profiles")
    body["meters"] = fields.get("meters", "").lower().split()
    return body


def _groups(visit: Visit) -> dict[str, Any]:
    body = {**_days(visit), "zone": visit.fields.get("zone", "").strip()}
    body["index"] = _document(visit, "index", "price index")
    body["regions"] = regions(visit.fields.get("regions", ""))
    if visit.fields.get("again"):
        body["again"] = True
    return body


def regions(text: str) -> dict[str, list[str]]:
    """Return each supplier's regions, of lines such as `Stadtwerke: North, South`."""
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, names = line.rpartition(":")
        if not colon or not name.strip():
            raise FormRefused("Regions: a line is as Stadtwerke: North, South")
        found.setdefault(name.strip(), []).extend(one.strip() for one in names.split(","))
    return found


KINDS: Final[Mapping[str, RunKind]] = {
    kind.name: kind
    for kind in (
        RunKind("runs", "/v1/settlement-runs", _settlement),
        RunKind("profiles", "/v1/profile-runs", _profiles),
        RunKind("groups", "/v1/group-settlement-runs", _groups),
    )
}


def _kind(visit: Visit) -> RunKind:
    found = KINDS.get(visit.http.path_params.get("kind", "runs"))
    if found is None:
        raise HTTPException(404)
    return found


# Pages


async def runs(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """List the runs of a kind, the newest first, and let another begin."""
    kind = _kind(visit)
    page = await visit.inside.get(kind.api, limit=SHOWN, cursor=visit.value("cursor"))
    status = 422 if isinstance(refused, str) and refused else 200
    month = last_month(visit)
    return visit.page("settlement_runs.html", status, refused, kind=kind, page=page, month=month)


async def begin(visit: Visit) -> Response:
    """Begin a run."""
    kind = _kind(visit)
    try:
        body = kind.order(visit)
    except FormRefused as error:
        return await runs(visit, str(error))
    answer = await visit.inside.ask("POST", kind.api, body, once=visit.fields.get("once", ""))
    if not answer.is_fine:
        return await runs(visit, answer)
    return visit.see(f"/settlement/{kind.name}/{answer.json['run']}")


async def show(visit: Visit) -> Response:
    """Show how far a run is: who is settled, who refused and why, and what it has come to."""
    kind, name, group = _kind(visit), visit.http.path_params["run"], visit.value("show")
    run = await visit.inside.get(f"{kind.api}/{name}")
    result: Any = None
    items: Any = {"items": [], "next": None}
    if kind.name == "runs":
        result = await visit.inside.get(f"{kind.api}/{name}/result")
    # Looks at customers are on record: a page that renews itself makes none.
    if kind.name != "groups" and not visit.is_poll:
        items = await visit.inside.get(
            f"{kind.api}/{name}/items", limit=SHOWN, cursor=visit.value("cursor"),
            state=list(CLAIM_GROUPS.get(group, ())),
        )  # fmt: skip
    return visit.page(
        "settlement_group.html" if kind.name == "groups" else "settlement_run.html",
        kind=kind, run=run, result=result, items=items, group=group, is_live=run["state"] in LIVE,
    )  # fmt: skip


async def cancel(visit: Visit) -> Response:
    """End a run."""
    kind, name = _kind(visit), visit.http.path_params["run"]
    back = f"/settlement/{kind.name}/{name}"
    if not visit.is_sure:
        await visit.inside.get(f"{kind.api}/{name}")
        return visit.ask_first("End the run", CANCELS[kind.name], back)
    answer = await visit.inside.ask("POST", f"{kind.api}/{name}/cancellation")
    return visit.see(back, "run-ended") if answer.is_fine else visit.problem(answer, back)


async def retry(visit: Visit) -> Response:
    """Let a run try again whom it has given up or refused."""
    kind, name = _kind(visit), visit.http.path_params["run"]
    back = f"/settlement/{kind.name}/{name}"
    if kind.name == "groups":
        raise HTTPException(404)
    answer = await visit.inside.ask("POST", f"{kind.api}/{name}/retry")
    return visit.see(back, "run-again") if answer.is_fine else visit.problem(answer, back)


async def settled(visit: Visit) -> Response:
    """Show what was settled, and which profiles customers are like."""
    cursor = visit.value("cursor")
    asked = {"limit": SHOWN, "order": "newest"}
    page = await visit.inside.get("/v1/settlement/entries", cursor=cursor, **asked)
    profiles = await visit.inside.get("/v1/profiles", **asked)
    return visit.page("settled.html", page=page, profiles=profiles["items"])


def _begins(path: str) -> ConsolePage:
    return ConsolePage(path, begin, ASKERS, "POST", most_files=2, largest_file=LARGEST_DOCUMENT)


PAGES: Final = (
    ConsolePage("/settlement", runs, READERS),
    _begins("/settlement"),
    ConsolePage("/settlement/entries", settled, READERS),
    ConsolePage("/settlement/{kind}", runs, READERS),
    _begins("/settlement/{kind}"),
    ConsolePage("/settlement/{kind}/{run}", show, READERS),
    ConsolePage("/settlement/{kind}/{run}/cancellation", cancel, ASKERS, "POST"),
    ConsolePage("/settlement/{kind}/{run}/retry", retry, ASKERS, "POST"),
)
