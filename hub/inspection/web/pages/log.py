# SPDX-License-Identifier: Apache-2.0
"""The page Log and data quality: the chain checked as it is shown, days checked on request."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from starlette.responses import Response

from hub.disclosure import LogTampered
from hub.inspection.locales.reasons import error_in_words
from hub.inspection.views.calendar import By
from hub.inspection.views.readings import readings_view
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.jobs import Tick
from hub.inspection.web.meter_tabs import meter_link, meter_tabs
from hub.inspection.web.page_request import Page, PageRequest
from hub.inspection.web.pages.work import begin_job
from hub.metering import MeteredRegister
from protocols.metrology import CertifiedDay, MetrologyError, Period, verify_days

A_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class DaysChecked:
    """What came of checking every certified day, of all registers of all meters."""

    days: int
    first: date | None
    last: date | None
    reason: str
    """Where it broke; empty where all is well."""


def show_log(request: PageRequest) -> Response:
    """Check the chain and show the log's entries, the newest first, and how good the data are."""
    with request.look() as look:
        device, log = look.device, look.device.disclosure.log
        request = request.about(device)
        try:
            length, broken = log.verify(), ""
        except LogTampered as error:
            length, broken = 0, error_in_words(error, request.words)
        entries = list(log.entries())
        kinds = sorted({entry.kind for entry in entries})
        kind = request.query("kind") if request.query("kind") in kinds else ""
        wanted = [entry for entry in reversed(entries) if kind in ("", entry.kind)]
        number = request.query("page", "1")
        page = int(number) if number.isascii() and number.isdecimal() and len(number) < 7 else 1
        pages = max(1, -(-len(wanted) // A_PAGE))
        page = min(max(page, 1), pages)
        span, quality = device.main.journal.span(), None
        if span is not None:
            period = Period(span[0], span[1])
            quality = readings_view(device, period, By.MONTH, look.book, look.kept)
        return request.page(
            "log.html",
            length=length,
            broken=broken,
            entries=wanted[(page - 1) * A_PAGE : page * A_PAGE],
            kinds=kinds,
            kind=kind,
            page=page,
            pages=pages,
            span=span,
            quality=quality,
            meter=device.name,
            meters=meter_tabs(
                look.hub, device, request.words, lambda name: meter_link("/log", name)
            ),
        )


def check_days(request: PageRequest) -> Response:
    """Check every certified day: signature, sum, chain."""
    settings = request.parts.settings

    def work(tick: Tick) -> DaysChecked:
        with settings.open_device() as device:
            chains = [(meter, list(_days(meter))) for meter in device.every_register.values()]
            total, done = sum(len(days) for _, days in chains), 0
            every = sorted(day.day for _, days in chains for day in days)
            first, last = (every[0], every[-1]) if every else (None, None)
            for meter, days in chains:
                series, key = meter.certifier.series, meter.certifier.keys.public_key
                before: CertifiedDay | None = None
                for day in days:
                    tick(done, total)
                    try:
                        alone = Period(day.day, day.day)
                        verify_days([day], alone, series, key, after=before)
                    except MetrologyError as error:
                        return DaysChecked(done, first, last, str(error))
                    before, done = day, done + 1
            return DaysChecked(done, first, last, "")

    return begin_job(request, "days", "/log", "days.html", work)


def _days(meter: MeteredRegister) -> Iterator[CertifiedDay]:
    span = meter.journal.span()
    if span is not None:
        for day in meter.journal.between(*span[:2]):
            yield CertifiedDay.decode(day.certified)


PAGES: Final = (
    Page("/log", show_log, ResidentRole.READER),
    Page("/log/days", check_days, ResidentRole.READER, "POST", show_log),
)
