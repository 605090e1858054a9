# SPDX-License-Identifier: Apache-2.0
"""The hub's meters as JSON has them, and how much flows through those that count litres."""

from datetime import date

from hub.device import Device
from hub.inspection.api.json_views import JsonView, Moment, Unit, medium_facts
from hub.inspection.views.live import PowerNow
from protocols.metrology import Medium
from sml_codec import Obis


class MeterJson(JsonView, frozen=True):
    """One of the hub's meters."""

    name: str
    """What `meter` asks for; empty: the hub's own."""
    medium: str
    unit: Unit
    """Of its registers' whole steps, as which all amounts are given."""
    meter: str
    register: str
    zone: str
    """Whose days are meant; `@06:00` after it: they begin at six."""
    slot_minutes: int
    first_day: date | None
    last_day: date | None
    certified_days: int
    last_reading: Moment | None


class MetersJson(JsonView, frozen=True):
    """All meters of the hub, its own first."""

    meters: list[MeterJson]


class FlowJson(JsonView, frozen=True):
    """The mean flow over the last stretch of readings, of a meter that counts litres."""

    medium: str
    unit: Unit
    litres_per_hour: int
    within_litres_per_hour: int
    begin: Moment
    end: Moment
    register_l: int


def flow_json(flow: PowerNow, medium: Medium) -> FlowJson:
    """Return how much flows through a meter that counts litres."""
    return FlowJson.of(
        flow,
        **medium_facts(medium),
        litres_per_hour=flow.watts,
        within_litres_per_hour=flow.within_watts,
        register_l=flow.register_wh,
    )


def meters_json(device: Device) -> MetersJson:
    """Return all meters of a hub."""
    return MetersJson(meters=[_meter(one) for one in device.every_meter])


def _meter(meter: Device) -> MeterJson:
    about, latest = meter.description, meter.main.vault.latest(meter.main.channel)
    first, last, days = meter.main.journal.span() or (None, None, 0)
    return MeterJson.of(
        about,
        name=meter.name,
        **medium_facts(about.medium),
        meter=about.meter.hex(),
        register=str(Obis(about.register)),
        first_day=first,
        last_day=last,
        certified_days=days,
        last_reading=latest and latest.time,
    )
