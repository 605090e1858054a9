# SPDX-License-Identifier: Apache-2.0
"""The page Set aside: telegrams that could not be taken as they were, and what becomes of them."""

from dataclasses import replace
from typing import Final

from starlette.responses import Response

from hub.device import Device
from hub.inspection.locales.catalogue import Catalogue
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.meter_tabs import MeterTab, meter_link, meter_tabs, own_name
from hub.inspection.web.page_request import Page, PageRequest
from hub.quarantining import accept, drop, meter_of

MOST_SHOWN: Final = 200


def show_set_aside(request: PageRequest) -> Response:
    """Show what is set aside, of all meters or of one, the newest first."""
    with request.device() as device:
        only = request.meter(device) if request.query("meter") else None
        waiting = [
            (one, meter)
            for one in reversed(device.quarantine.all())
            if (meter := meter_of(device, one.telegram)) is only or only is None
        ]
        return request.page(
            "set_aside.html",
            waiting=waiting[:MOST_SHOWN],
            meters=_tabs(device, only, request.words),
            number=len(waiting),
            names_meters=bool(device.meters),
        )


def _tabs(device: Device, only: Device | None, words: Catalogue) -> list[MeterTab]:
    def link(name: str) -> str:
        return meter_link("/set-aside", name or own_name(device))

    if not device.meters:
        return []
    every = MeterTab("", words.t("set_aside.all"), "/set-aside", only is None)
    one_by_one = meter_tabs(device, only or device, words, link)
    if only is None:
        one_by_one = [replace(tab, is_shown=False) for tab in one_by_one]
    return [every, *one_by_one]


def accept_one(request: PageRequest) -> Response:
    """Make a reading of a telegram that was set aside."""
    number = int(request.http.path_params["number"])
    with request.device() as device:
        accept(device, [number])
    request.record("telegram accepted", number=number)
    return request.see("/set-aside")


def drop_one(request: PageRequest) -> Response:
    """Forget a telegram that was set aside."""
    number = int(request.http.path_params["number"])
    with request.device() as device:
        drop(device, [number])
    request.record("telegram dropped", number=number)
    return request.see("/set-aside")


PAGES: Final = (
    Page("/set-aside", show_set_aside, ResidentRole.READER),
    Page("/set-aside/{number:int}/accept", accept_one, ResidentRole.OWNER, "POST", show_set_aside),
    Page("/set-aside/{number:int}/drop", drop_one, ResidentRole.OWNER, "POST", show_set_aside),
)
