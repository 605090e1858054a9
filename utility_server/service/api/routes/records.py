# SPDX-License-Identifier: Apache-2.0
"""The ledger, what is verified again in a dispute, settlement and profiles."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from protocols.metrology import MetrologyError, Period
from protocols.published import DocumentKind
from utility_server.errors import CannotVerify, UnknownCustomer, VerificationFailed, kind_of
from utility_server.retail.audit import check_entry
from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.standings import STANDS, Standing
from utility_server.service.access.roles import Role
from utility_server.service.api.models import (
    Days,
    LedgerHead,
    LedgerLine,
    MeterText,
    Page,
    PublishedLine,
    Share,
    Verdict,
)
from utility_server.service.api.operation import ANYONE, ServiceRoute, operation, parts_of
from utility_server.service.api.paging import OLDEST, Cursor, Limit, Order, days_model, page_of
from utility_server.service.api.problems import Problem
from utility_server.service.api.routes.bills import LARGEST_NUMBER
from utility_server.service.words import utc_text

router = APIRouter(tags=["records"], route_class=ServiceRoute)
READERS: Final = (Role.BILLING, Role.AUDITOR)
SETTLERS: Final = (Role.SETTLEMENT, Role.AUDITOR)
BATCH: Final = 200
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The entry's number.")]
Meter = Annotated[MeterText | None, Query(description="Of this meter alone.")]
Kind = Annotated[
    str | None,
    Query(
        pattern="^(bill|refused|settlement|profile|unattributed)$",
        description="Of this kind alone.",
    ),
]
Time = Annotated[int, Query(ge=0, le=LARGEST_NUMBER, description="In epoch seconds.")]


@operation(router, "GET", "/ledger", READERS, reads=True, response_model=Page[LedgerLine])
def list_ledger(
    request: Request, limit: Limit = 50, cursor: Cursor = None, meter: Meter = None,
    kind: Kind = None, order: Order = OLDEST,
) -> Any:  # fmt: skip
    """List the ledger's entries; the chain between them is not checked here."""
    return _lines(request, "ledger", cursor, limit, meter, kind, order)


@operation(router, "GET", "/ledger/head", READERS, response_model=LedgerHead)
def ledger_head(request: Request) -> Any:
    """Return the ledger's end: whoever keeps it can tell later that nothing was cut off."""
    last = parts_of(request).utility.ledger.last()
    if last is None:
        return LedgerHead(entries=0, digest=bytes(32).hex())
    return LedgerHead(entries=last.sequence, digest=last.digest.hex())


@operation(
    router, "GET", "/ledger/{number}", READERS, reads=True, fails=(404,),
    response_model=LedgerLine,
)  # fmt: skip
def show_entry(request: Request, number: Number) -> Any:
    """Show an entry."""
    ((entry, standing),) = _standing(request, [_entry(request, number)])
    return _line(request, entry, standing)


@operation(
    router, "GET", "/ledger/{number}/evidence", READERS, reads=True, fails=(404,),
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {}},
            "description": "The bundle: `meterlet bill verify` verifies it offline.",
        }
    },
)  # fmt: skip
def entry_evidence(request: Request, number: Number) -> Response:
    """Return what an entry rests on: question, answer and keys, for anyone to verify."""
    entry = _entry(request, number)
    content = parts_of(request).utility.ledger.evidence(entry)
    return Response(content, media_type="application/octet-stream")


@operation(
    router, "POST", "/ledger/{number}/verification",
    (Role.BILLING, Role.SETTLEMENT, Role.AUDITOR), reads=True, fails=(404,),
    response_model=Verdict,
)  # fmt: skip
def verify_entry(request: Request, number: Number) -> Any:
    """Verify an entry again from its evidence, as in a dispute: does it say what was proved?"""
    entry = _entry(request, number)
    try:
        check_entry(parts_of(request).utility, entry)
    except VerificationFailed as failed:
        return Verdict(number=number, verified=False, check=failed.check, why=failed.reason)
    except (CannotVerify, UnknownCustomer) as error:
        return Verdict(number=number, verified=False, check=kind_of(error), why=str(error))
    return Verdict(number=number, verified=True)


@operation(
    router, "GET", "/settlement/entries", SETTLERS, reads=True, response_model=Page[LedgerLine]
)
def list_settlement(
    request: Request, limit: Limit = 50, cursor: Cursor = None, meter: Meter = None,
    order: Order = OLDEST,
) -> Any:  # fmt: skip
    """List what customers' use was worth on the grid: one proved amount a customer and period."""
    return _lines(request, "settlement", cursor, limit, meter, "settlement", order)


@operation(router, "GET", "/settlement/shares", SETTLERS, response_model=list[Share])
def settlement_shares(request: Request, begin: Time, end: Time) -> Any:
    """Add up the settled amounts of a period by supplier.

    A customer who was settled several times for the period counts with the last time.
    """
    settled: dict[bytes, LedgerEntry] = {}
    for entry in _all(request, lambda one: one.kind == "settlement"):
        if (entry.content.get("begin"), entry.content.get("end")) == (begin, end):
            settled[entry.meter] = entry
    shares: dict[tuple[str, str], list[int]] = {}
    for entry in settled.values():
        supplier, currency = (str(entry.content.get(name)) for name in ("supplier", "currency"))
        shares.setdefault((supplier, currency), []).append(int(entry.content["value"]))
    return [
        Share(supplier=supplier, currency=currency, customers=len(amounts), value_nano=sum(amounts))
        for (supplier, currency), amounts in sorted(shares.items())
    ]


@operation(router, "GET", "/profiles", SETTLERS, reads=True, response_model=Page[LedgerLine])
def list_profiles(
    request: Request, limit: Limit = 50, cursor: Cursor = None, meter: Meter = None,
    order: Order = OLDEST,
) -> Any:  # fmt: skip
    """List which standard profile customers are like, as their hubs have proved it."""
    return _lines(request, "profiles", cursor, limit, meter, "profile", order)


@operation(router, "GET", "/published", ANYONE, response_model=Page[PublishedLine])
def list_published(
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
    kind: Annotated[DocumentKind | None, Query(description="Of this kind alone.")] = None,
) -> Any:
    """List what customers were asked under, whoever asked: also tariffs that are not registered."""
    entries = parts_of(request).utility.publications.list().entries
    lines = [
        PublishedLine(
            number=number, time=utc_text(one.time), kind=str(one.kind), name=one.name,
            meters=one.meters, digest=one.digest.hex(),
        )
        for number, one in enumerate(entries, 1)
        if kind in (None, one.kind)
    ]  # fmt: skip
    return page_of(
        request, ["published", kind or ""], cursor, limit,
        lambda after, count: [
            one for one in lines if after is None or one.number > int(after[0])
        ][:count],
        lambda one: [one.number], lambda one: one,
    )  # fmt: skip


def _lines(
    request: Request,
    collection: str,
    cursor: str | None,
    limit: int,
    meter: str | None,
    kind: str | None,
    order: str,
) -> Page[LedgerLine]:
    ledger = parts_of(request).utility.ledger
    of_meter = None if meter is None else bytes.fromhex(meter)

    def some(at: int | None, count: int) -> Sequence[LedgerEntry]:
        if order == OLDEST:
            return ledger.after(at or 0, count, of_meter)
        return ledger.before(at, count, of_meter)

    def rows(after: list[Any] | None, count: int) -> Sequence[LedgerEntry]:
        at = None if after is None else int(after[0])
        if kind is None:
            return some(at, count)
        found: list[LedgerEntry] = []
        while len(found) < count and (lines := some(at, BATCH)):
            found += [one for one in lines if one.kind == kind]
            at = lines[-1].sequence
        return found[:count]

    return page_of(
        request, [collection, meter or "", kind or "", order], cursor, limit,
        lambda after, count: _standing(request, rows(after, count)),
        lambda row: [row[0].sequence], lambda row: _line(request, *row),
    )  # fmt: skip


def _standing(
    request: Request, entries: Sequence[LedgerEntry]
) -> list[tuple[LedgerEntry, Standing]]:
    """Return entries with what became of those that are bills."""
    known = parts_of(request).utility.standings(one.meter for one in entries if one.kind == "bill")
    return [(one, known.get(one.sequence, STANDS)) for one in entries]


def _all(request: Request, is_wanted: Callable[[LedgerEntry], bool]) -> list[LedgerEntry]:
    ledger, at, found = parts_of(request).utility.ledger, 0, list[LedgerEntry]()
    while lines := ledger.after(at, BATCH):
        found += filter(is_wanted, lines)
        at = lines[-1].sequence
    return found


def _entry(request: Request, number: int) -> LedgerEntry:
    ledger = parts_of(request).utility.ledger
    last = ledger.last()
    if last is None or number > last.sequence:
        raise Problem(404, "not-found", "the ledger has no such entry")
    return ledger.entry(number)


def _period(request: Request, entry: LedgerEntry) -> Days | None:
    """Return the days that an entry is about; None where it says none, or they are no days."""
    match entry.content.get("begin"), entry.content.get("end"):
        case int(begin), int(end):
            try:
                zone = parts_of(request).utility.customers.zone(entry.meter)
                return days_model(Period.filling(begin, end, zone))
            except (UnknownCustomer, MetrologyError):
                return None
    return None


def _line(request: Request, entry: LedgerEntry, standing: Standing) -> LedgerLine:
    facts = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in entry.content.items()
    }
    return LedgerLine(
        number=entry.sequence,
        time=utc_text(entry.time),
        kind=entry.kind,
        meter=entry.meter.hex(),
        period=_period(request, entry),
        facts=facts,
        digest=entry.digest.hex(),
        replaced_by=standing.replaced_by or None,
        void=standing.is_void,
    )
