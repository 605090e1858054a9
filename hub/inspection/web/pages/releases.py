# SPDX-License-Identifier: Apache-2.0
"""The page What left the house: to whom, why, which bytes, and what that lets them know."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from hub.inspection.attack.appliances import Appliance
from hub.inspection.attack.attack import AttackResult, AttackView, attack
from hub.inspection.errors import InspectionError
from hub.inspection.views.calendar import By
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
from hub.inspection.web.charts import Chart, bar_chart
from hub.inspection.web.curves import PowerDrawing, draw_curves
from hub.inspection.web.forms import date_of
from hub.inspection.web.jobs import Tick
from hub.inspection.web.page_request import Look, Page, PageRequest
from hub.inspection.web.pages.readings import band_levels, label
from hub.inspection.web.pages.work import begin_job
from protocols.metrology import Period

BYTES_SHOWN: Final = 2048
ATTACKED_DAYS: Final = 7
MOST_DAYS: Final = 62
"""A longer period is drawn by months."""


@dataclass(frozen=True, slots=True)
class Attack:
    """What the attack made of somebody's curve."""

    recipient: str
    """Empty: all of them together."""
    result: AttackResult
    counts: dict[str, int]
    """How often each appliance was found."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """The attack on the house's own curve, and on all others."""

    view: AttackView
    attacks: tuple[Attack, ...]

    @property
    def own(self) -> Attack:
        """The attack on the readings themselves."""
        return _attacked("", self.view.house)

    @property
    def curves(self) -> tuple[PowerDrawing, ...]:
        """The house's own curve, and then each other, drawn to one scale."""
        results = [self.view.house, *(one.result for one in self.attacks)]
        return draw_curves([result.curve for result in results])


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
            recipient=recipient,
            recipients=everything.recipients,
            attacked_first=_attacked_first(view),
        )


def _attacked_first(view: ReleasesView) -> int:
    """Return the begin of the newest period that somebody was told of; 0: none was."""
    return view.releases[-1].begin if view.releases else 0


def show_message(request: PageRequest) -> Response:
    """Show one message: its bytes, what they say, and the curve it was made from."""
    sequence = int(request.http.path_params["sequence"])
    with request.look() as look:
        message, content = outgoing_message(look.device, sequence)
        view = releases_view(look.device, message.recipient)
        releases = [
            one
            for one in view.releases
            if one.message is not None and one.message.sequence == sequence
        ]
        return request.page(
            "message.html",
            message=message,
            fields=decode_message(content),
            shown=content[:BYTES_SHOWN].hex(" ", 2),
            is_cut=len(content) > BYTES_SHOWN,
            releases=releases,
            curves=[_curve(request, look, release) for release in releases],
            known=view.known.get(message.recipient),
        )


def message_bytes(request: PageRequest) -> Response:
    """Return a message's exact bytes as a file."""
    sequence = int(request.http.path_params["sequence"])
    with request.device() as device:
        _, content = outgoing_message(device, sequence)
    headers = {"Content-Disposition": f'attachment; filename="message-{sequence}.sml"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


def run_attack(request: PageRequest) -> Response:
    """Attack the readings and what each recipient knows, for a week of the resident's choice."""
    first = date_of(request.fields, "first")
    period = Period(first, first + timedelta(days=ATTACKED_DAYS - 1))

    def work(tick: Tick) -> Attacked:
        with request.device() as device:
            view = attack(device, period, tick)
        return Attacked(view, tuple(_attacked(name, result) for name, result in _results(view)))

    return begin_job(request, "attack", "/releases", "attack.html", work)


def _results(view: AttackView) -> list[tuple[str, AttackResult]]:
    others = list(view.recipients.items())
    together = [("", view.together)] if len(others) > 1 else []
    return [*others, *together]


def _attacked(name: str, result: AttackResult) -> Attack:
    counts = Counter(activation.appliance for activation in result.activations)
    return Attack(name, result, {str(one): counts[one] for one in Appliance})


def _curve(
    request: PageRequest, look: Look, release: RecordedRelease
) -> tuple[Chart, dict[str, int]]:
    """Return the readings of a release's period, drawn, and the temperature of each band."""
    device, words = look.device, request.words
    period = Period(local_date(device, release.begin), local_date(device, release.end - 1))
    days = (period.last - period.first).days + 1
    by = By.HOUR if days <= 2 else By.DAY if days <= MOST_DAYS else By.MONTH
    view = readings_view(device, period, by, look.book, look.kept)
    levels = band_levels(look.book, view)
    title = words.t("releases.curve", period=words.period(period))
    names = [label(words, by, bucket) for bucket in view.buckets]
    titles = [
        f"{name}: {words.energy(bucket.energy_wh)}"
        for name, bucket in zip(names, view.buckets, strict=True)
    ]
    return bar_chart(title, view.buckets, names, titles, levels), levels


PAGES: Final = (
    Page("/releases", show_releases, ResidentRole.READER),
    Page("/releases/attack", run_attack, ResidentRole.READER, "POST"),
    Page("/releases/{sequence:int}", show_message, ResidentRole.READER),
    Page("/releases/{sequence:int}/bytes", message_bytes, ResidentRole.READER),
)
