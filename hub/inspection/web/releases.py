# SPDX-License-Identifier: Apache-2.0
"""The page What left the house: to whom, why, which bytes, and what that lets them know."""

from typing import Final

from starlette.responses import Response

from hub.inspection.calendar import By
from hub.inspection.errors import InspectionError
from hub.inspection.readings import readings_view
from hub.inspection.releases import (
    RecordedRelease,
    decode_message,
    outgoing_message,
    releases_view,
)
from hub.inspection.slots import local_date
from hub.inspection.web.call import Call, Look, Page
from hub.inspection.web.charts import Chart, bar_chart
from hub.inspection.web.readings import band_levels, label
from hub.inspection.web.residents import Role
from protocols.metrology import Period

__all__ = ["PAGES"]

BYTES_SHOWN: Final = 2048
MOST_DAYS: Final = 62
"""A longer period is drawn by months."""


def show_releases(call: Call) -> Response:
    """Show what left, to one recipient or to all."""
    recipient = call.asked("recipient") or None
    with call.device() as device:
        everything = releases_view(device)
        if recipient is not None and recipient not in everything.recipients:
            raise InspectionError(f"nothing is on record of a recipient {recipient[:63]!r}")
        view = everything if recipient is None else releases_view(device, recipient)
        return call.page(
            "releases.html", view=view, recipient=recipient, recipients=everything.recipients
        )


def show_message(call: Call) -> Response:
    """Show one message: its bytes, what they say, and the curve it was made from."""
    sequence = int(call.request.path_params["sequence"])
    with call.look() as look:
        message, content = outgoing_message(look.device, sequence)
        view = releases_view(look.device, message.recipient)
        releases = [
            one
            for one in view.releases
            if one.message is not None and one.message.sequence == sequence
        ]
        return call.page(
            "message.html",
            message=message,
            fields=decode_message(content),
            shown=content[:BYTES_SHOWN].hex(" ", 2),
            is_cut=len(content) > BYTES_SHOWN,
            releases=releases,
            curves=[_curve(call, look, release) for release in releases],
            known=view.known.get(message.recipient),
        )


def message_bytes(call: Call) -> Response:
    """Return a message's exact bytes as a file."""
    sequence = int(call.request.path_params["sequence"])
    with call.device() as device:
        _, content = outgoing_message(device, sequence)
    headers = {"Content-Disposition": f'attachment; filename="message-{sequence}.sml"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _curve(call: Call, look: Look, release: RecordedRelease) -> tuple[Chart, dict[str, int]]:
    """Return the readings of a release's period, drawn, and the temperature of each band."""
    device, words = look.device, call.words
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
    Page("/releases", show_releases, Role.READER),
    Page("/releases/{sequence:int}", show_message, Role.READER),
    Page("/releases/{sequence:int}/bytes", message_bytes, Role.READER),
)
