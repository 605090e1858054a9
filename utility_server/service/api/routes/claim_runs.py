# SPDX-License-Identifier: Apache-2.0
"""Settlements and profiles over many customers: runs, which go on while nobody waits."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from applets.profiling.messages import Method, ProfilingRequest
from applets.profiling.statement import ProfileSet, ProfilesMalformed
from protocols.metrology import Period
from tariffs import PriceIndex
from utility_server.errors import ServiceRefused, UnknownCustomer
from utility_server.retail.claim_runs import ASKING, ClaimItem, ClaimState
from utility_server.retail.settlement import own_index
from utility_server.service.access.roles import Role
from utility_server.service.api.claim_models import (
    MOST_NAMED,
    ClaimRunItem,
    ClaimRunState,
    NewProfileRun,
    NewSettlementRun,
    SettlementResult,
    SupplierShareModel,
)
from utility_server.service.api.models import JobText, Page
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.paging import (
    Cursor,
    Limit,
    content_of,
    days_model,
    page_of,
    period_or_month,
)
from utility_server.service.api.problems import Problem
from utility_server.service.api.routes.runs import begun, require_over
from utility_server.service.jobs.claim_run import (
    PROFILE_RUN,
    SETTLEMENT_RUN,
    ClaimOrder,
)
from utility_server.service.jobs.store import Job
from utility_server.service.words import utc_text

router = APIRouter(tags=["settlement"], route_class=ServiceRoute)
ASKERS: Final = (Role.SETTLEMENT,)
READERS: Final = (Role.SETTLEMENT, Role.AUDITOR)
SETTLEMENTS, PROFILES = "/settlement-runs", "/profile-runs"
LARGEST_PORT: Final = 65_535
AT_A_TIME: Final = 500
"""A statement of the database names only so many."""
Name = Annotated[JobText, Path(description="The run's name.")]
States = Annotated[list[ClaimState], Query(max_length=10, description="In these alone.")]
_BEGUN: Final = {
    202: {
        "description": "It has begun; `Location` says where to look.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
}


# Settlements


@operation(
    router, "POST", SETTLEMENTS, ASKERS, status=202, response_model=ClaimRunState, responses=_BEGUN
)
def begin_settlement_run(request: Request, response: Response, body: NewSettlementRun) -> Any:
    """Settle a period at a price index: each customer's hub proves one number, which is entered.

    Who refuses, or is not reached, is left out and named; the shares are provisional then. A
    customer who is settled already for the same supplier, days and prices is not asked again.
    """
    parts = parts_of(request)
    index = own_index(content_of(body.index, "index"), parts.utility.keys.public)
    suppliers = {
        name: tuple(sorted({bytes.fromhex(one) for one in meters}))
        for name, meters in body.suppliers.items()
    }
    about = about_index(index)
    return _begin(request, response, SETTLEMENT_RUN, body, index.encode(), about, suppliers)


@operation(router, "GET", SETTLEMENTS, READERS, response_model=Page[ClaimRunState])
def list_settlement_runs(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the settlements, the newest first."""
    return _runs(request, SETTLEMENT_RUN, limit, cursor)


@operation(
    router, "GET", SETTLEMENTS + "/{run}", READERS, fails=(404,), response_model=ClaimRunState
)
def show_settlement_run(request: Request, run: Name) -> Any:
    """Show how far a settlement is."""
    return _state(_known(request, run, SETTLEMENT_RUN))


@operation(
    router, "GET", SETTLEMENTS + "/{run}/result", READERS, fails=(404,),
    response_model=SettlementResult,
)  # fmt: skip
def settlement_result(request: Request, run: Name) -> Any:
    """Return what a settlement has come to by now: each supplier's share, to the penny."""
    job = _known(request, run, SETTLEMENT_RUN)
    order, work = ClaimOrder.of(job.parameters), parts_of(request).claim_runs
    counts = work.items.counts(run)
    settled, missing = counts.get(ClaimState.ENTERED, 0), work.missing(job)
    unsettled = sum(counts.values()) - settled
    shares = work.shares(job)
    is_whole = not job.is_open and not unsettled and not missing
    return SettlementResult(
        run=run,
        state=str(job.state),
        period=days_model(order.period),
        series=str(order.about["series"]),
        revision=int(order.about["revision"]),
        currency=str(order.about["currency"]),
        suppliers=[
            SupplierShareModel(
                supplier=one.supplier, customers=one.customers, exact=str(one.exact),
                share=money(one.share),
            )
            for one in shares
        ],
        total=money(sum(one.share for one in shares)),
        settled=settled,
        unsettled=unsettled,
        missing_slots=missing,
        provisional=not is_whole,
    )  # fmt: skip


@operation(
    router, "GET", SETTLEMENTS + "/{run}/items", READERS, reads=True, fails=(404,),
    response_model=Page[ClaimRunItem],
)  # fmt: skip
def list_settlement_items(
    request: Request,
    run: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: States = [],  # noqa: B006
) -> Any:
    """List a settlement's customers: who is settled, who refused and why, who is not reached."""
    return _items(request, run, SETTLEMENT_RUN, limit, cursor, state)


@operation(
    router, "POST", SETTLEMENTS + "/{run}/cancellation", ASKERS, status=202, fails=(404,),
    response_model=ClaimRunState,
)  # fmt: skip
def cancel_settlement_run(request: Request, run: Name) -> Any:
    """End a settlement: what has been answered is entered, and nobody else is asked."""
    return _cancelled(request, run, SETTLEMENT_RUN)


@operation(
    router, "POST", SETTLEMENTS + "/{run}/retry", ASKERS, status=202, fails=(404,),
    response_model=ClaimRunState,
)  # fmt: skip
def retry_settlement_run(request: Request, run: Name) -> Any:
    """Let a settlement that is over try again whom it has given up or refused.

    Whoever's hub has said no is not asked again: a new run may do that.
    """
    return _again(request, run, SETTLEMENT_RUN)


# Profiles


@operation(
    router, "POST", PROFILES, ASKERS, status=202, response_model=ClaimRunState, responses=_BEGUN
)
def begin_profile_run(request: Request, response: Response, body: NewProfileRun) -> Any:
    """Ask customers' hubs which load profile each is most like; each answer is proved."""
    if (body.method is Method.SAMPLE) != (body.one_in is not None):
        raise ServiceRefused("`one_in` says how much is sampled, and goes with that alone")
    try:
        profiles = ProfileSet.decode(content_of(body.profiles, "profiles"))
        asked = ProfilingRequest(body.method, profiles, body.one_in or 1)
    except ProfilesMalformed as error:
        raise Problem(422, "invalid-profiles", f"the profiles: {error}") from None
    about: dict[str, str | int] = {
        "profiles": profiles.name, "digest": profiles.digest.hex(), "method": str(body.method),
    }  # fmt: skip
    if body.one_in is not None:
        about["one_in"] = body.one_in
    meters = tuple(sorted({bytes.fromhex(one) for one in body.meters}))
    return _begin(request, response, PROFILE_RUN, body, asked.encode(), about, {"": meters})


@operation(router, "GET", PROFILES, READERS, response_model=Page[ClaimRunState])
def list_profile_runs(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the runs that ask for profiles, the newest first."""
    return _runs(request, PROFILE_RUN, limit, cursor)


@operation(router, "GET", PROFILES + "/{run}", READERS, fails=(404,), response_model=ClaimRunState)
def show_profile_run(request: Request, run: Name) -> Any:
    """Show how far such a run is."""
    return _state(_known(request, run, PROFILE_RUN))


@operation(
    router, "GET", PROFILES + "/{run}/items", READERS, reads=True, fails=(404,),
    response_model=Page[ClaimRunItem],
)  # fmt: skip
def list_profile_items(
    request: Request,
    run: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: States = [],  # noqa: B006
) -> Any:
    """List such a run's customers: whom each is like, who refused and why, who is not reached."""
    return _items(request, run, PROFILE_RUN, limit, cursor, state)


@operation(
    router, "POST", PROFILES + "/{run}/cancellation", ASKERS, status=202, fails=(404,),
    response_model=ClaimRunState,
)  # fmt: skip
def cancel_profile_run(request: Request, run: Name) -> Any:
    """End such a run: what has been answered is entered, and nobody else is asked."""
    return _cancelled(request, run, PROFILE_RUN)


@operation(
    router, "POST", PROFILES + "/{run}/retry", ASKERS, status=202, fails=(404,),
    response_model=ClaimRunState,
)  # fmt: skip
def retry_profile_run(request: Request, run: Name) -> Any:
    """Let such a run that is over try again whom it has given up or refused."""
    return _again(request, run, PROFILE_RUN)


# Both


def _begin(
    request: Request,
    response: Response,
    kind: str,
    body: NewSettlementRun | NewProfileRun,
    document: bytes,
    about: dict[str, str | int],
    suppliers: dict[str, tuple[bytes, ...]],
) -> ClaimRunState:
    parts = parts_of(request)
    period = period_or_month(body.period, body.month)
    if period is None:
        raise ServiceRefused("say a period or a month")
    _require_members(request, suppliers)
    if body.addresses and not parts.settings.may_dial:
        raise ServiceRefused("this service dials no hub; hubs dial in")
    if any(int(where.rpartition(":")[2]) > LARGEST_PORT for where in body.addresses.values()):
        raise ServiceRefused("there is no such port")
    order = ClaimOrder(
        document=parts.utility.claim_items.keep_document(document),
        period=period,
        about=about,
        suppliers=suppliers,
        addresses={bytes.fromhex(meter): where for meter, where in body.addresses.items()},
        tries=body.tries,
        retry_seconds=body.retry_seconds,
        wait_seconds=body.wait_seconds,
    )
    at = SETTLEMENTS if kind == SETTLEMENT_RUN else PROFILES
    return _state(begun(request, response, kind, dict(order.facts()), f"/v1{at}"))


def _require_members(request: Request, suppliers: dict[str, tuple[bytes, ...]]) -> None:
    """Raise `ServiceRefused` unless each customer is there once, and enrolled."""
    named = [meter for meters in suppliers.values() for meter in meters]
    if len(suppliers) > 1 and not all(suppliers.values()):
        raise ServiceRefused("of several suppliers, say each one's customers")
    if len(named) > MOST_NAMED:
        raise ServiceRefused(f"at most {MOST_NAMED} customers can be named")
    if len(set(named)) != len(named):
        raise ServiceRefused("a customer is of one supplier alone")
    if not all(name.isprintable() for name in suppliers):
        raise ServiceRefused("a supplier's name is one line of text")
    customers = parts_of(request).utility.customers
    try:
        for start in range(0, len(named), AT_A_TIME):
            customers.zones(named[start : start + AT_A_TIME])
    except UnknownCustomer as error:
        raise ServiceRefused(str(error)) from None


def _runs(request: Request, kind: str, limit: int, cursor: str | None) -> Page[ClaimRunState]:
    jobs = parts_of(request).jobs
    return page_of(
        request, ["claim-runs", kind], cursor, limit,
        lambda after, count: jobs.page(
            None if after is None else (int(after[0]), str(after[1])), count, (kind,)
        ),
        lambda job: [job.created, job.identification], _state,
    )  # fmt: skip


def _items(
    request: Request,
    run: str,
    kind: str,
    limit: int,
    cursor: str | None,
    state: list[ClaimState],
) -> Page[ClaimRunItem]:
    parts, states = parts_of(request), sorted({str(one) for one in state})
    period = ClaimOrder.of(_known(request, run, kind).parameters).period
    items = parts.utility.claim_items
    return page_of(
        request, ["claim-items", run, *states], cursor, limit,
        lambda after, count: items.page(
            run, b"" if after is None else bytes(after[0]), count, states
        ),
        lambda item: [item.meter], lambda item: _item(item, period),
    )  # fmt: skip


def _cancelled(request: Request, run: str, kind: str) -> ClaimRunState:
    _known(request, run, kind)
    return _state(parts_of(request).jobs.cancel(run))


def _again(request: Request, run: str, kind: str) -> ClaimRunState:
    parts = parts_of(request)
    require_over(_known(request, run, kind))
    parts.utility.claim_items.begin_again(run)
    return _state(parts.jobs.begin_again(run))


def _known(request: Request, run: str, kind: str) -> Job:
    job = parts_of(request).jobs.find(run)
    if job is None or job.kind != kind:
        raise Problem(404, "not-found", "there is no such run")
    return job


def _state(job: Job) -> ClaimRunState:
    order, result = ClaimOrder.of(job.parameters), job.result
    return ClaimRunState(
        run=job.identification,
        kind=job.kind,
        state=str(job.state),
        created=utc_text(job.created),
        changed=utc_text(job.changed),
        period=days_model(order.period),
        done=job.done,
        total=job.total,
        counts=dict(result.get("counts", {})),
        facts=dict(order.about),
        reason=result.get("reason"),
        why=result.get("why"),
    )


def _item(item: ClaimItem, period: Period) -> ClaimRunItem:
    is_entered = item.state is ClaimState.ENTERED
    return ClaimRunItem(
        meter=item.meter.hex(),
        supplier=item.supplier or None,
        state=str(item.state),
        period=days_model(period) if item.end else None,
        tries=item.tries,
        next_try=utc_text(item.due) if item.due and item.state in ASKING else None,
        reason=item.reason or None,
        why=item.why or None,
        entry=item.entry or None,
        value=item.value if is_entered else None,
        missing_slots=item.missing if is_entered else None,
    )


def about_index(index: PriceIndex) -> dict[str, str | int]:
    """Return what a run says of the index that it settles at."""
    return {
        "series": index.series, "revision": index.version, "currency": index.currency,
        "index": index.digest.hex(),
    }  # fmt: skip


def money(pennies: int) -> str:
    """Return an amount in 10^-2 of a currency as it is written."""
    sign = "-" if pennies < 0 else ""
    return f"{sign}{abs(pennies) // 100}.{abs(pennies) % 100:02}"
