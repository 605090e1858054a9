# SPDX-License-Identifier: Apache-2.0
"""The page Now: power, today's use and cost, the meter, the applets, the last release."""

from typing import Final

from starlette.responses import Response

from hub.inspection.views.calendar import By
from hub.inspection.views.live import power_now, today
from hub.inspection.views.readings import readings_view
from hub.inspection.views.releases import releases_view
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.installed import installed_applets
from hub.inspection.web.page_request import Page, PageRequest
from protocols.metrology import Period
from sml_codec import Obis

LATE_SECONDS: Final = 3_600
"""After so long without a reading the page says so."""


def show_now(request: PageRequest) -> Response:
    """Show what is happening."""
    with request.look() as look:
        device = look.device
        day = today(device)
        view = readings_view(device, Period(day, day), By.DAY, look.book, look.kept)
        power = power_now(device)
        releases = releases_view(device)
        return request.page(
            "now.html",
            view=view,
            power=power,
            is_late=power is not None and device.now() - power.end > LATE_SECONDS,
            meter=device.description.meter.hex(),
            register=str(Obis(device.description.register)),
            readings=device.main.vault.count(device.main.channel),
            span=device.main.journal.span(),
            applets=installed_applets(device),
            releases=releases,
        )


PAGES: Final = (Page("/", show_now, ResidentRole.READER),)
