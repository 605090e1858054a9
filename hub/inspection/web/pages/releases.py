# SPDX-License-Identifier: Apache-2.0
"""The page What left the house: to whom, why, which bytes, and what that lets them know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from hub.device import Device
from hub.disclosure.published import ListRefused
from hub.inspection.attack.attack import AttackView, attack
from hub.inspection.errors import InspectionError
from hub.inspection.locales.catalogue import Catalogue
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import tariff_book
from hub.inspection.views.meters import meter_told_of
from hub.inspection.views.published import published_view, take_published
from hub.inspection.views.readings import readings_view
from hub.inspection.views.releases import (
    RecordedRelease,
    ReleasesView,
    decode_message,
    outgoing_message,
    releases_view,
)
from hub.inspection.views.slots import local_date
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.charts import Chart, PowerDrawing, bar_chart, draw_curves
from hub.inspection.web.forms import BadInput, date_of
from hub.inspection.web.jobs import Tick
from hub.inspection.web.page_request import Look, Page, PageRequest, download
from hub.inspection.web.pages.readings import band_levels, label, readings_link
from hub.inspection.web.pages.work import begin_job
from protocols.metrology import Period

BYTES_SHOWN: Final = 2048
ATTACKED_DAYS: Final = 7
MOST_DAYS: Final = 62
"""A longer period is drawn by months."""


def show_releases(request: PageRequest) -> Response:
    """Show what left, to one recipient or to all."""
    recipient = request.query("recipient") or None
    with request.device() as device:
        everything = releases_view(device)
        if recipient is not None and recipient not in everything.recipients:
            raise InspectionError(f"nothing is on record of a recipient {recipient[:63]!r}")
        view = everything if recipient is None else releases_view(device, recipient)
        return request.page(
            "releases.html",
            view=view,
            lists=published_view(device),
            recipient=recipient,
            recipients=everything.recipients,
            attacked_first=_newest_time(view),
            about=_RegisterWords(device, request.words),
        )


@dataclass(frozen=True, slots=True)
class _RegisterWords:
    """How what was told of registers is written: by the days of their meter, and its name."""

    device: Device
    words: Catalogue

    def span(self, begin: int, end: int, registers: Sequence[str]) -> str:
        """Return the days that something is about."""
        meter = meter_told_of(self.device, registers)
        return self.words.for_meter(meter.description).span(begin, end)

    def named(self, registers: Sequence[str]) -> list[str]:
        """Return what it is about besides the hub's own main register."""
        meter = meter_told_of(self.device, registers)
        if not meter.name:
            found = filter(None, registers)
            return [self.words.t("releases.register", register=name) for name in found]
        name = self.words.your_meter(meter.name, meter.description.medium)
        return [self.words.t("releases.about_meter", meter=name)]


def _newest_time(view: ReleasesView) -> int:
    """Return the begin of a time that something was told about; 0 where nothing was."""
    entries = (*view.exports, *view.aggregates)
    begins = [record.begin for record in view.releases]
    begins += [int(entry.facts["begin"]) for entry in entries]
    begins += [int(entry.facts["boundary"]) for entry in view.outputs]
    return max(begins, default=0)


def show_message(request: PageRequest) -> Response:
    """Show one message: its bytes, what they say, and the curve it was made from."""
    sequence = int(request.http.path_params["sequence"])
    with request.look() as look:
        message, content = outgoing_message(look.device, sequence)
        view = releases_view(look.device, message.recipient)
        releases = [
            record
            for record in view.releases
            if record.message is not None and record.message.sequence == sequence
        ]
        about = _RegisterWords(look.device, request.words)
        return request.page(
            "message.html",
            about=about,
            readings_links=[_readings(look.device, one) for one in releases],
            message=message,
            fields=decode_message(content),
            shown=content[:BYTES_SHOWN].hex(" ", 2),
            is_cut=len(content) > BYTES_SHOWN,
            releases=releases,
            curves=[_curve(request, look, release) for release in releases],
            known=view.known.get(message.recipient),
        )


def _readings(device: Device, one: RecordedRelease) -> str:
    """Return the address of the readings that a release is about."""
    meter = meter_told_of(device, one.release.registers)
    period = Period.touching(one.begin, one.end, meter.description.zone)
    return readings_link(period, meter.name)


def message_bytes(request: PageRequest) -> Response:
    """Return a message's exact bytes as a file."""
    sequence = int(request.http.path_params["sequence"])
    with request.device() as device:
        _, content = outgoing_message(device, sequence)
    return download(f"message-{sequence}.sml", content)


def take_public_list(request: PageRequest) -> Response:
    """Take a list of what everybody is shown, of a signer that an installed applet answers."""
    document = request.files.get("list", b"")
    if not document:
        raise BadInput("choose the file of a list", "list")
    with request.device() as device:
        try:
            one = take_published(device, document)
        except ListRefused as error:
            raise BadInput(str(error), "list") from None
    request.record("public list taken", code=one.documents.code)
    return request.see("/releases#lists")


def run_attack(request: PageRequest) -> Response:
    """Attack the readings and what each recipient knows, for a week of the resident's choice."""
    first = date_of(request.fields, "first")
    period = Period(first, first + timedelta(days=ATTACKED_DAYS - 1))

    def work(tick: Tick) -> tuple[AttackView, Sequence[PowerDrawing]]:
        with request.device() as device:
            view = attack(device, period, tick)
        results = [view.house, *(result for _, result in view.others)]
        return view, draw_curves([result.curve for result in results])

    return begin_job(request, "attack", "/releases", "attack.html", work)


def _curve(
    request: PageRequest, look: Look, release: RecordedRelease
) -> tuple[Chart, dict[str, int]]:
    """Return the readings of a release's period, drawn, and the temperature of each band."""
    device = meter_told_of(look.device, release.release.registers)
    words = request.about(device).words
    book, kept = tariff_book(device), BucketCache.of(device, look.kept.database)
    period = Period(local_date(device, release.begin), local_date(device, release.end - 1))
    days = (period.last - period.first).days + 1
    by = By.HOUR if days <= 2 else By.DAY if days <= MOST_DAYS else By.MONTH
    view = readings_view(device, period, by, book, kept)
    levels = band_levels(book, view)
    title = words.t("releases.curve", period=words.period(period))
    names = [label(words, by, bucket) for bucket in view.buckets]
    titles = [
        f"{name}: {words.energy(bucket.energy_wh)}"
        for name, bucket in zip(names, view.buckets, strict=True)
    ]
    return bar_chart(title, view.buckets, names, titles, levels, unit=words.unit), levels


PAGES: Final = (
    Page("/releases", show_releases, ResidentRole.READER),
    Page("/releases/lists", take_public_list, ResidentRole.OWNER, "POST", show_releases),
    Page("/releases/attack", run_attack, ResidentRole.READER, "POST", show_releases),
    Page("/releases/{sequence:int}", show_message, ResidentRole.READER),
    Page("/releases/{sequence:int}/bytes", message_bytes, ResidentRole.READER),
)
