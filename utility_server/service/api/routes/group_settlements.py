# SPDX-License-Identifier: Apache-2.0
"""Settlements by one number of all customers of a supplier: nobody learns a single one's part."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from utility_server.errors import ServiceRefused
from utility_server.grid.private_settlement import PrivateSettlementRequest
from utility_server.retail.settlement import NANO_PER_PENNY, own_index
from utility_server.retail.shares import round_shares
from utility_server.service.access.roles import Role
from utility_server.service.api.claim_models import (
    GroupSettlementState,
    GroupSettlementSummary,
    LeftOut,
    NewGroupSettlementRun,
    SettledRegion,
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
from utility_server.service.api.routes.claim_runs import about_index, money
from utility_server.service.api.routes.runs import begun
from utility_server.service.jobs.group_settlement import KIND, GroupOrder
from utility_server.service.jobs.store import Job
from utility_server.service.words import utc_text

router = APIRouter(prefix="/group-settlement-runs", tags=["settlement"], route_class=ServiceRoute)
ASKERS: Final = (Role.SETTLEMENT,)
READERS: Final = (Role.SETTLEMENT, Role.AUDITOR)
MOST_REGIONS: Final = 1_000
Name = Annotated[JobText, Path(description="The run's name.")]
_BEGUN: Final = {
    202: {
        "description": "It has begun; `Location` says where to look.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
}


@operation(
    router, "POST", "", ASKERS, status=202, fails=(404,), response_model=GroupSettlementState,
    responses=_BEGUN,
)  # fmt: skip
def begin_group_settlement(
    request: Request, response: Response, body: NewGroupSettlementRun
) -> Any:
    """Have the MDMS open one number of each region, and settle by these alone.

    Each region is a round in which hubs weigh their certified use with the prices. A number that
    the MDMS knows is told again without asking a hub.
    """
    parts = parts_of(request)
    if parts.settings.mdms is None:
        raise Problem(404, "not-found", "this service has no MDMS")
    index = own_index(content_of(body.index, "index"), parts.utility.keys.public)
    period = period_or_month(body.period, body.month)
    if period is None:
        raise ServiceRefused("say a period or a month")
    regions = sorted((name, region) for name, some in body.regions.items() for region in some)
    if not all(body.regions.values()) or len({region for _, region in regions}) != len(regions):
        raise ServiceRefused("each supplier has a region at least, and each region is there once")
    if len(regions) > MOST_REGIONS:
        raise ServiceRefused(f"at most {MOST_REGIONS} regions are settled together")
    if not all(name.isprintable() for name in body.regions):
        raise ServiceRefused("a supplier's name is one line of text")
    asked = PrivateSettlementRequest(
        regions, period, body.zone, body.resolution_minutes, body.value_bits, body.again
    )
    asked.part_of(index)  # refused at once, and not in each region
    order = GroupOrder(
        document=parts.utility.claim_items.keep_document(index.encode()),
        about=about_index(index),
        period=period,
        zone=body.zone,
        regions=regions,
        resolution_minutes=body.resolution_minutes or 0,
        value_bits=body.value_bits,
        is_again=body.again,
    )
    at = f"/v1{router.prefix}"
    return _state(begun(request, response, KIND, dict(order.facts()), at))


@operation(router, "GET", "", READERS, response_model=Page[GroupSettlementSummary])
def list_group_settlements(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List these settlements, the newest first."""
    jobs = parts_of(request).jobs
    return page_of(
        request, ["group-settlement-runs"], cursor, limit,
        lambda after, count: jobs.page(
            None if after is None else (int(after[0]), str(after[1])), count, (KIND,)
        ),
        lambda job: [job.created, job.identification],
        lambda job: GroupSettlementSummary(**_facts(job)),
    )  # fmt: skip


@operation(
    router, "GET", "/{run}", READERS, reads=True, fails=(404,),
    response_model=GroupSettlementState,
)  # fmt: skip
def show_group_settlement(request: Request, run: Name) -> Any:
    """Show what such a settlement has come to by now: the shares, and each region."""
    return _state(_known(request, run))


@operation(
    router, "POST", "/{run}/cancellation", ASKERS, status=202, fails=(404,),
    response_model=GroupSettlementState,
)  # fmt: skip
def cancel_group_settlement(request: Request, run: Name) -> Any:
    """End such a settlement after the region of the moment; the round itself goes on."""
    _known(request, run)
    return _state(parts_of(request).jobs.cancel(run))


def _known(request: Request, run: str) -> Job:
    job = parts_of(request).jobs.find(run)
    if job is None or job.kind != KIND:
        raise Problem(404, "not-found", "there is no such run")
    return job


def _facts(job: Job) -> dict[str, Any]:
    order = GroupOrder.of(job.parameters)
    return {
        "run": job.identification,
        "state": str(job.state),
        "created": utc_text(job.created),
        "changed": utc_text(job.changed),
        "period": days_model(order.period),
        "zone": order.zone,
        "series": str(order.about["series"]),
        "revision": int(order.about["revision"]),
        "currency": str(order.about["currency"]),
        "done": len(job.result.get("regions", ())),
        "total": len(order.regions),
        "reason": job.result.get("reason"),
        "why": job.result.get("why"),
    }


def _state(job: Job) -> GroupSettlementState:
    facts = _facts(job)
    regions = [_region(one) for one in job.result.get("regions", ())]
    exact = dict.fromkeys((name for name, _ in GroupOrder.of(job.parameters).regions), 0)
    homes = dict(exact)
    for one in regions:
        exact[one.supplier] += int(one.exact or 0)
        homes[one.supplier] += one.homes
    shares = round_shares(exact, NANO_PER_PENNY)
    is_whole = facts["done"] == facts["total"] and all(
        one.exact is not None and not (one.left_out or one.missing_slots or one.problems)
        for one in regions
    )
    return GroupSettlementState(
        **facts,
        suppliers=[
            SupplierShareModel(
                supplier=name, customers=homes[name], exact=str(exact[name]),
                share=money(shares[name]),
            )
            for name in sorted(exact)
        ],
        total_share=money(sum(shares.values())),
        provisional=not is_whole,
        regions=regions,
    )  # fmt: skip


def _region(one: dict[str, Any]) -> SettledRegion:
    return SettledRegion(
        supplier=one["supplier"],
        region=one["region"],
        exact=one["exact"] or None,
        homes=one["homes"],
        missing_slots=one["missing"],
        known_before=bool(one["known_before"]),
        left_out=one["left_out"],
        unsettled=[LeftOut(meter=meter, why=why) for meter, why in one["unsettled"]],
        problems=[*one["spoiled"], *one["unopened"]],
    )
