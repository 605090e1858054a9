# SPDX-License-Identifier: Apache-2.0
"""The page Now: power, today's use and cost, the meters, the applets, the last release."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from starlette.responses import Response

from hub.device import Device
from hub.inspection.views.calendar import By
from hub.inspection.views.live import power_now, today
from hub.inspection.views.readings import readings_view
from hub.inspection.views.releases import releases_view
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.installed import installed_applets
from hub.inspection.web.meter_tabs import meter_link, meter_tabs
from hub.inspection.web.page_request import Page, PageRequest
from hub.text import printed_id
from protocols.metrology import Period
from sml_codec import Obis

LATE_SECONDS: Final = 3_600
"""After so long without a reading the page says so."""


@dataclass(frozen=True, slots=True)
class ListedMeter:
    """A meter as the table of all has it."""

    label: str
    printed: str
    """Its identification."""
    register: str
    last_reading: int | None
    readings: int
    span: tuple[date, date, int] | None
    """The first and the last certified day, and how many there are."""


def _listed(meter: Device, request: PageRequest) -> ListedMeter:
    latest = meter.main.vault.latest(meter.main.channel)
    about = meter.description
    return ListedMeter(
        request.words.meter(meter.name, about.medium),
        printed_id(about.meter),
        str(Obis(about.register)),
        None if latest is None else latest.time,
        meter.main.vault.count(meter.main.channel),
        meter.main.journal.span(),
    )


def show_now(request: PageRequest) -> Response:
    """Show what is happening."""
    with request.look() as look:
        device, request = look.device, request.about(look.device)
        day = today(device)
        view = readings_view(device, Period(day, day), By.DAY, look.book, look.kept)
        power = power_now(device)
        releases = releases_view(look.hub)
        return request.page(
            "now.html",
            view=view,
            power=power,
            is_late=power is not None and device.now() - power.end > LATE_SECONDS,
            here=meter_link("/", device.name),
            meters=meter_tabs(look.hub, device, request.words, lambda name: meter_link("/", name)),
            listed=[_listed(one, request) for one in look.hub.every_meter],
            applets=installed_applets(look.hub),
            releases=releases,
        )


PAGES: Final = (Page("/", show_now, ResidentRole.READER),)
