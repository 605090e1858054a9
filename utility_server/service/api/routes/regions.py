# SPDX-License-Identifier: Apache-2.0
"""Sums over the homes of regions, as far as the service has an MDMS."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request

from utility_server.grid.mdms.errors import AggregateMissing, ForecastImpossible
from utility_server.grid.mdms.forecasts import METHODS, forecast
from utility_server.grid.mdms.load_curves import LoadCurve, load_curve
from utility_server.grid.mdms.workspace import Mdms
from utility_server.service.access.roles import Role
from utility_server.service.api.models import Curve, Page, RegionForecast, RegionSpan
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.paging import Cursor, Limit, page_of
from utility_server.service.api.problems import Problem
from utility_server.service.api.routes.bills import LARGEST_NUMBER
from utility_server.service.words import utc_text

router = APIRouter(prefix="/regions", tags=["regions"], route_class=ServiceRoute)
READERS: Final = (Role.GRID, Role.AUDITOR)
NOT_SEEN: Final = (
    "No home's use is known in any slot: each home's contribution was encrypted, and only the sum"
    " over all of them was ever opened."
)
MOST_SLOTS: Final = 200_000
METHOD: Final = f"^({'|'.join(METHODS)})$"
Region = Annotated[
    str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$", description="Whose homes' sum.")
]
Time = Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER, description="In epoch seconds.")]


@operation(router, "GET", "", READERS, fails=(404,), response_model=Page[RegionSpan])
def list_regions(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List of which regions and times sums are stored."""
    with _opened(request) as mdms:
        spans = mdms.store.spans()
    return page_of(
        request, ["regions"], cursor, limit,
        lambda after, count: [
            one for one in spans if after is None or list(one.parts) > after
        ][:count],
        lambda one: list(one.parts),
        lambda one: RegionSpan(
            region=one.region, resolution_minutes=one.resolution_minutes,
            first=utc_text(one.begin), last=utc_text(one.end),
        ),
    )  # fmt: skip


@operation(router, "GET", "/curve", READERS, fails=(404,), response_model=Curve)
def region_curve(
    request: Request,
    region: Region,
    begin: Time = None,
    end: Time = None,
    minutes: Annotated[
        int | None, Query(ge=1, le=1440, description="Of a slot; by default the finest.")
    ] = None,
) -> Any:
    """Return what all homes of a region used together, slot by slot; gaps stay gaps."""
    with _opened(request) as mdms:
        try:
            curve = load_curve(mdms.store, region, begin, end, minutes)
        except AggregateMissing:
            raise Problem(404, "not-found", "no sum of that region and time is stored") from None
    _require_few(curve)
    return Curve(
        region=curve.region,
        zone=curve.zone,
        resolution_minutes=curve.resolution_minutes,
        fewest_homes=curve.fewest_homes,
        most_homes=curve.most_homes,
        missing=curve.missing,
        slots=list(curve.slots),
        uses_wh=list(curve.uses_wh),
        not_seen=NOT_SEEN,
    )


@operation(router, "GET", "/forecast", READERS, fails=(404, 409), response_model=RegionForecast)
def region_forecast(
    request: Request,
    region: Region,
    days: Annotated[int, Query(ge=1, le=31, description="How far.")] = 7,
    method: Annotated[str, Query(pattern=METHOD, description="How it is made.")] = METHODS[0],
    begin: Time = None,
    end: Time = None,
) -> Any:
    """Forecast a region's load for the days after those stored or named, from its sums alone."""
    with _opened(request) as mdms:
        try:
            curve = load_curve(mdms.store, region, begin, end)
            _require_few(curve)
            expected = forecast(curve, days, method)
        except AggregateMissing:
            raise Problem(404, "not-found", "no sum of that region and time is stored") from None
        except ForecastImpossible as error:
            raise Problem(409, "forecast-impossible", str(error)) from None
    return RegionForecast(
        region=curve.region,
        zone=curve.zone,
        resolution_minutes=curve.resolution_minutes,
        method=expected.method,
        slots=list(expected.slots),
        uses_wh=list(expected.uses_wh),
        not_seen=NOT_SEEN,
    )


def _require_few(curve: LoadCurve) -> None:
    if len(curve.slots) > MOST_SLOTS:
        raise Problem(422, "too-much", f"more than {MOST_SLOTS} slots; ask for a shorter time")


@contextmanager
def _opened(request: Request) -> Iterator[Mdms]:
    mdms = parts_of(request).open_mdms()
    if mdms is None:
        raise Problem(404, "not-found", "this service has no MDMS")
    with mdms:
        yield mdms
