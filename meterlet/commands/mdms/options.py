# SPDX-License-Identifier: Apache-2.0
"""What the commands of `meterlet mdms` share: which region, which of its days, what noise."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import days_options, folder_option
from protocols.metrology import Period
from utility_server.grid.mdms.load_curves import LoadCurve, load_curve
from utility_server.grid.mdms.publishing import Mechanism, Published, Publisher
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.privacy_notice import NANO, parse_rho

mdms_option = folder_option("mdms", "The MDMS's folder.")
region_option = click.option("--region", required=True, help="Whose homes' sum.")


class Rho(click.ParamType[int]):
    """What a release costs, in ρ of zero-concentrated differential privacy."""

    name = "RHO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return billionths."""
        if isinstance(value, int):
            return value
        try:
            return parse_rho(str(value))
        except (ValueError, ZeroDivisionError) as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class CurveRequest:
    """Which curve, and how much noise is wanted in it."""

    region: str
    first: date | None = None
    last: date | None = None
    resolution_minutes: int | None = None
    nano_rho: int | None = None
    mechanism: Mechanism = Mechanism.GAUSSIAN

    def exact(self, workspace: Mdms) -> LoadCurve:
        """Return the curve as it is stored."""
        begin = end = None
        if self.first is not None or self.last is not None:
            # Whose days they are is known once something of the region is.
            zone = load_curve(workspace.store, self.region).zone
            if self.first is not None:
                begin, _ = Period(self.first, self.first).bounds(zone)
            if self.last is not None:
                _, end = Period(self.last, self.last).bounds(zone)
        return load_curve(workspace.store, self.region, begin, end, self.resolution_minutes)

    def curve(self, workspace: Mdms) -> tuple[LoadCurve, Published | None]:
        """Return the curve to be shown, with noise where that is asked for."""
        exact = self.exact(workspace)
        if self.nano_rho is None:
            return exact, None
        published = Publisher(workspace.store).publish(exact, self.nano_rho, self.mechanism)
        return published.curve, published


def curve_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that make an `CurveRequest`, which the command gets as `question`."""

    @functools.wraps(command)
    def run(
        *,
        region: str,
        first: date | None,
        last: date | None,
        resolution_minutes: int | None,
        nano_rho: int | None,
        mechanism: str,
        **rest: Any,
    ) -> None:
        question = CurveRequest(
            region, first, last, resolution_minutes, nano_rho, Mechanism(mechanism)
        )
        command(question=question, **rest)

    asking: Callable[..., None] = run
    options: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
        region_option,
        days_options(),
        click.option(
            "--resolution",
            "resolution_minutes",
            type=int,
            help="Minutes of a slot; by default the finest there is.",
        ),
        click.option(
            "--rho",
            "nano_rho",
            type=Rho(),
            help="Add noise that costs so much of the region's privacy budget.",
        ),
        click.option(
            "--mechanism",
            type=click.Choice([mechanism.value for mechanism in Mechanism]),
            default=Mechanism.GAUSSIAN.value,
            show_default=True,
            help="Whose noise.",
        ),
    ]
    for option in reversed(options):
        asking = option(asking)
    return asking


def curve_facts(curve: LoadCurve) -> dict[str, Any]:
    """Return a curve as the JSON outputs show it."""
    return {
        "region": curve.region,
        "zone": curve.zone,
        "resolution_minutes": curve.resolution_minutes,
        "from": utc_text(curve.begin),
        "until": utc_text(curve.end),
        "homes": {"fewest": curve.fewest_homes, "most": curve.most_homes},
        "missing_home_slots": curve.missing,
        "gaps": [[utc_text(begin), utc_text(end)] for begin, end in curve.gaps],
        "slots": slot_facts(curve.slots, curve.uses_wh),
    }


def slot_facts(slots: Sequence[tuple[int, int]], uses_wh: Sequence[int]) -> list[dict[str, Any]]:
    """Return what was used in each slot as the JSON outputs show it."""
    return [
        {"start": utc_text(begin), "wh": wh} for (begin, _), wh in zip(slots, uses_wh, strict=True)
    ]


def noise_facts(published: Published | None) -> dict[str, Any] | None:
    """Return what noise a curve has, or None."""
    if published is None:
        return None
    return {
        "mechanism": published.mechanism.value,
        "rho": f"{published.nano_rho / NANO:.9f}",
        "deviation_wh": published.deviation_wh,
        "published_before": published.was_known,
    }
