# SPDX-License-Identifier: Apache-2.0
"""Long runs: bill runs and checks of the records, which go on while nobody waits; and schedules."""

from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from protocols.metrology import Period
from utility_server.errors import ServiceRefused, UnknownCustomer
from utility_server.retail.contracts import LAST_START, Cycle
from utility_server.retail.standings import STANDS, Standing
from utility_server.service.access.roles import Role
from utility_server.service.api.models import (
    BillRunOrderModel,
    Days,
    JobText,
    NewSchedule,
    NotedEnds,
    Page,
    RunItem,
    RunState,
    ScheduleState,
)
from utility_server.service.api.operation import (
    KEY_HEADER,
    ServiceRoute,
    operation,
    parts_of,
    principal_of,
)
from utility_server.service.api.paging import (
    Cursor,
    Limit,
    day_of,
    days_model,
    page_of,
    period_or_month,
)
from utility_server.service.api.problems import Problem
from utility_server.service.jobs import bill_run, record_check
from utility_server.service.jobs.bill_run import BillRunOrder
from utility_server.service.jobs.items import TO_RETRY, TO_TRY, BillRunItem, ItemState
from utility_server.service.jobs.schedules import Schedule
from utility_server.service.jobs.store import Job
from utility_server.service.words import utc_text

router = APIRouter(tags=["runs"], route_class=ServiceRoute)
READERS: Final = (Role.BILLING, Role.AUDITOR)
KINDS: Final = (bill_run.KIND, record_check.KIND)
"""Settlements and profiles are runs of other people (`routes.claim_runs`)."""
Name = Annotated[JobText, Path(description="The run's name.")]
_LOCATION: Final = {
    202: {
        "description": "It has begun; `Location` says where to look.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
}


@operation(
    router, "POST", "/bill-runs", (Role.BILLING,), status=202, fails=(404,),
    response_model=RunState, responses=_LOCATION,
)  # fmt: skip
def begin_bill_run(request: Request, response: Response, body: BillRunOrderModel) -> Any:
    """Bill all customers, or some: of a period, or whatever is due in their reading cycle."""
    order = order_of(request, body)
    return run_state(begun(request, response, bill_run.KIND, dict(order.facts())))


@operation(
    router, "POST", "/record-checks", (Role.AUDITOR,), status=202, response_model=RunState,
    responses=_LOCATION,
)  # fmt: skip
def begin_record_check(request: Request, response: Response, body: NotedEnds | None = None) -> Any:
    """Check the ledger's chain, verify every entry again, and check the audit log's chain.

    The chains have no key. With ends that were noted elsewhere, a chain that was cut off or written
    anew is found, too.
    """
    noted = body or NotedEnds()
    facts = record_check.parameters(noted.ledger, noted.audit)
    return run_state(begun(request, response, record_check.KIND, facts))


@operation(router, "GET", "/runs", READERS, response_model=Page[RunState])
def list_runs(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the runs, the newest first."""
    parts = parts_of(request)
    return page_of(
        request, ["runs"], cursor, limit,
        lambda after, count: parts.jobs.page(
            None if after is None else (int(after[0]), str(after[1])), count, KINDS
        ),
        lambda job: [job.created, job.identification], run_state,
    )  # fmt: skip


@operation(router, "GET", "/runs/{run}", READERS, fails=(404,), response_model=RunState)
def show_run(request: Request, run: Name) -> Any:
    """Show how far a run is."""
    return run_state(_known(request, run))


@operation(
    router, "GET", "/runs/{run}/items", READERS, reads=True, fails=(404,),
    response_model=Page[RunItem],
)  # fmt: skip
def list_run_items(
    request: Request,
    run: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[list[ItemState], Query(max_length=9, description="In these alone.")] = [],  # noqa: B006
) -> Any:
    """List a bill run's customers: who is billed, who refused and why, who is not reached."""
    parts, states = parts_of(request), sorted({str(one) for one in state})
    _known(request, run)

    def rows(after: list[Any] | None, count: int) -> list[tuple[BillRunItem, Standing]]:
        at = None if after is None else (bytes(after[0]), int(after[1]))
        found = parts.items.page(run, at, count, states)
        known = parts.utility.standings(one.meter for one in found if one.entry)
        return [(one, known.get(one.entry, STANDS)) for one in found]

    return page_of(
        request, ["run-items", run, *states], cursor, limit, rows,
        lambda row: [row[0].meter, row[0].begin], lambda row: _item(request, *row),
    )  # fmt: skip


@operation(
    router, "POST", "/runs/{run}/cancellation", (Role.BILLING,), status=202, fails=(404,),
    response_model=RunState,
)  # fmt: skip
def cancel_run(request: Request, run: Name) -> Any:
    """End a bill run; what it has asked and nobody has answered is withdrawn."""
    return _cancelled(request, run, bill_run.KIND)


@operation(
    router, "POST", "/record-checks/{run}/cancellation", (Role.AUDITOR,), status=202,
    fails=(404,), response_model=RunState,
)  # fmt: skip
def cancel_record_check(request: Request, run: Name) -> Any:
    """End a check of the records where it stands; it has changed nothing."""
    return _cancelled(request, run, record_check.KIND)


@operation(
    router, "POST", "/runs/{run}/retry", (Role.BILLING,), status=202, fails=(404,),
    response_model=RunState,
)  # fmt: skip
def retry_run(request: Request, run: Name) -> Any:
    """Let a bill run that is over try again whom it has given up or refused.

    Whoever's hub has said no is not asked again: a new run may do that.
    """
    parts, job = parts_of(request), _known(request, run)
    if job.kind != bill_run.KIND:
        raise ServiceRefused("a check of the records begins anew as another run")
    require_over(job)
    parts.items.begin_again(run, TO_RETRY)
    return run_state(parts.jobs.begin_again(run))


@operation(router, "GET", "/bill-schedules", READERS, response_model=Page[ScheduleState])
def list_schedules(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the bill runs that come again."""
    schedules = parts_of(request).schedules
    return page_of(
        request, ["schedules"], cursor, limit,
        lambda after, count: schedules.page("" if after is None else str(after[0]), count),
        lambda one: [one.identification], _schedule,
    )  # fmt: skip


@operation(
    router, "POST", "/bill-schedules", (Role.BILLING,), status=201, fails=(404,),
    response_model=ScheduleState,
)  # fmt: skip
def create_schedule(request: Request, response: Response, body: NewSchedule) -> Any:
    """Let a bill run begin on a day of each month, of whatever is due then."""
    if body.order.period is not None or body.order.month is not None:
        raise ServiceRefused("a run that comes again is of what is due, not of a period")
    order = order_of(request, body.order)
    made = parts_of(request).schedules.create(
        body.name, principal_of(request).who, body.day, body.hour, order.facts()
    )
    response.headers["Location"] = f"/v1/bill-schedules/{made.identification}"
    return _schedule(made)


@operation(
    router, "GET", "/bill-schedules/{run}", READERS, fails=(404,), response_model=ScheduleState
)
def show_schedule(request: Request, run: Name) -> Any:
    """Show a bill run that comes again."""
    found = parts_of(request).schedules.find(run)
    if found is None:
        raise Problem(404, "not-found", "there is no such schedule")
    return _schedule(found)


@operation(
    router, "DELETE", "/bill-schedules/{run}", (Role.BILLING,), status=204, fails=(404,),
    response_class=Response,
)  # fmt: skip
def remove_schedule(request: Request, run: Name) -> Response:
    """Let a bill run come no more; the runs that it has made stay."""
    if not parts_of(request).schedules.remove(run):
        raise Problem(404, "not-found", "there is no such schedule")
    return Response(status_code=204)


def order_of(request: Request, body: BillRunOrderModel) -> BillRunOrder:
    """Return what a run is to do; raise where it makes no sense."""
    parts = parts_of(request)
    if (body.addresses or body.at_last_address) and not parts.settings.may_dial:
        raise ServiceRefused("this service dials no hub; hubs dial in")
    tariff = parts.tariffs.usable(bytes.fromhex(body.tariff))
    period = period_or_month(body.period, body.month)
    if period is not None and not tariff.first <= period.first <= period.last <= tariff.last:
        # Each customer would be refused alone, and the run end without a bill.
        raise ServiceRefused(
            f"the tariff is valid from {tariff.first} to {tariff.last}, and not on all days of"
            f" {period.first} to {period.last}"
        )
    meters = tuple(sorted({bytes.fromhex(one) for one in body.meters}))
    for meter in meters:
        try:
            parts.utility.customers.zone(meter)
        except UnknownCustomer as error:
            raise ServiceRefused(str(error)) from None
    if day_of(body.begins).day > LAST_START:
        raise ServiceRefused(f"a cycle begins on the 1st to the {LAST_START}th")
    for where in body.addresses.values():
        if int(where.rpartition(":")[2]) > 65_535:
            raise ServiceRefused("there is no such port")
    return BillRunOrder(
        tariff=bytes.fromhex(body.tariff),
        period=period,
        cycle=Cycle(body.cycle),
        begins=body.begins,
        meters=meters,
        addresses={bytes.fromhex(meter): where for meter, where in body.addresses.items()},
        at_last_address=body.at_last_address,
        replaces=body.replaces,
        tries=body.tries,
        retry_seconds=body.retry_seconds,
        wait_seconds=body.wait_seconds,
    )


def begun(
    request: Request, response: Response, kind: str, facts: dict[str, Any], at: str = "/v1/runs"
) -> Job:
    """Begin a run, which is found at that address; the same request again finds the same run."""
    parts, who = parts_of(request), principal_of(request).who
    if (key := request.headers.get(KEY_HEADER)) is not None:
        # Done again after a crash, the same request finds the run that it has begun.
        name = sha256(f"{len(who)} {who} {kind} {key}".encode()).hexdigest()[:32]
    else:
        name = parts.settings.randomness(16).hex()
    job = parts.jobs.create(name, kind, who, facts)
    response.headers["Location"] = f"{at}/{job.identification}"
    return job


def require_over(job: Job) -> None:
    """Raise `ServiceRefused` unless a run is over, so that nobody works on it.

    What it is to try anew is noted before it begins again: else it might be over before that.
    """
    if job.is_open:
        raise ServiceRefused("the run is not over")


def _cancelled(request: Request, run: str, kind: str) -> RunState:
    """End a run of this kind: whose is another kind, that is begun and ended with another role."""
    if _known(request, run).kind != kind:
        raise Problem(404, "not-found", "there is no such run of this kind")
    return run_state(parts_of(request).jobs.cancel(run))


def _known(request: Request, run: str) -> Job:
    job = parts_of(request).jobs.find(run)
    if job is None or job.kind not in KINDS:
        raise Problem(404, "not-found", "there is no such run")
    return job


def run_state(job: Job) -> RunState:
    """Return a run as the interface shows it."""
    facts: dict[str, str | int | bool | None] = {}
    if job.kind == bill_run.KIND:
        order = BillRunOrder.of(job.parameters)
        facts = {
            "tariff": order.tariff.hex(),
            "from": None if order.period is None else str(order.period.first),
            "until": None if order.period is None else str(order.period.last),
            "cycle": str(order.cycle) if order.period is None else None,
            "replaces": order.replaces,
        }
    for name in ("reason", "why", "verified", "entries", "checked", "audit_entries", "audit"):
        if name in job.result:
            facts[name] = job.result[name]
    return RunState(
        run=job.identification,
        kind=job.kind,
        state=str(job.state),
        created=utc_text(job.created),
        changed=utc_text(job.changed),
        done=job.done,
        total=job.total,
        counts=dict(job.result.get("counts", {})),
        facts=facts,
        faults=[f"entry {one[0]}: {one[2]}" for one in job.result.get("faults", [])],
    )


def _item(request: Request, item: BillRunItem, standing: Standing) -> RunItem:
    period: Days | None = None
    if item.end:
        zone = parts_of(request).utility.customers.zone(item.meter)
        period = days_model(Period.filling(item.begin, item.end, zone))
    return RunItem(
        meter=item.meter.hex(),
        period=period,
        state=str(item.state),
        question=item.nonce.hex() or None,
        tries=item.tries,
        next_try=utc_text(item.due) if item.due and item.state in TO_TRY else None,
        reason=item.reason or None,
        why=item.why or None,
        invoice=item.entry if item.entry and item.state == ItemState.BILLED else None,
        replaced_by=standing.replaced_by or None,
        void=standing.is_void,
    )


def _schedule(schedule: Schedule) -> ScheduleState:
    return ScheduleState(
        schedule=schedule.identification,
        name=schedule.name,
        day=schedule.day,
        hour=schedule.hour,
        next=utc_text(schedule.next),
        last_run=schedule.last_job or None,
    )
