# SPDX-License-Identifier: Apache-2.0
"""The views as JSON has them: one shape for the command line, the pages' data and the interface."""

from datetime import tzinfo
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from hub.disclosure import Knowledge
from hub.inspection.attack.attack import AttackResult, AttackView
from hub.inspection.views.bill import CheckedBill
from hub.inspection.views.bucket import Bucket, Peak
from hub.inspection.views.estimates import FORECAST_METHOD, Forecast, Offer
from hub.inspection.views.live import FineUse, PowerNow
from hub.inspection.views.money import Money
from hub.inspection.views.proof import ProofCheck
from hub.inspection.views.readings import Comparison, ReadingsView
from hub.inspection.views.releases import Field, OutgoingMessage, RecordedRelease, ReleasesView
from hub.inspection.views.tariff_views import TariffTable
from hub.text import local_day, local_text, utc_text

__all__ = [
    "attack_facts",
    "bill_facts",
    "bucket_facts",
    "comparison_facts",
    "fine_facts",
    "forecast_facts",
    "known_facts",
    "message_facts",
    "offer_facts",
    "power_facts",
    "proof_facts",
    "readings_facts",
    "releases_facts",
    "tariff_table_facts",
]

DAY_SECONDS: Final = 86_400
TOGETHER: Final = "all of them together"


def readings_facts(view: ReadingsView) -> dict[str, Any]:
    """Return a readings view."""
    zone = ZoneInfo(view.zone)
    return {
        "zone": view.zone,
        "slot_seconds": view.slot_seconds,
        "first_day": view.period.first.isoformat(),
        "last_day": view.period.last.isoformat(),
        "by": view.by.value,
        "tariffs": list(view.tariffs),
        "total": bucket_facts(view.total, zone),
        "buckets": [bucket_facts(bucket, zone) for bucket in view.buckets],
    }


def bucket_facts(bucket: Bucket, zone: tzinfo) -> dict[str, Any]:
    """Return one bucket."""
    states = bucket.states
    return {
        "from": utc_text(bucket.begin),
        "until": utc_text(bucket.end),
        "local_from": local_text(bucket.begin, zone),
        "local_until": local_text(bucket.end, zone),
        "energy_wh": bucket.energy_wh,
        "feed_in_wh": bucket.fed_in_wh,
        "slots": {
            "measured": states.measured,
            "estimated": states.estimated,
            "substituted": states.substituted,
            "missing": states.missing,
        },
        "unknown_seconds": bucket.unknown_seconds,
        "unattributed_wh": bucket.unattributed_wh,
        "provisional": bucket.is_provisional,
        "peak": _peak(bucket.peak),
        "bands": [
            {"band": one.band, "energy_wh": one.energy_wh, "slots": one.slots}
            for one in bucket.bands
        ],
        "price_micro": bucket.price_micro,
        "energy_cost": _money(bucket.energy_cost),
        "cost": _money(bucket.cost),
        "no_cost_because": bucket.reason,
    }


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """Return two views and their difference."""
    return {
        "now": readings_facts(comparison.now),
        "before": readings_facts(comparison.before),
        "energy_difference_wh": comparison.energy_difference_wh,
        "energy_ratio_ppm": comparison.energy_ratio_ppm,
        "cost_difference": _money(comparison.cost_difference),
    }


def power_facts(power: PowerNow | None) -> dict[str, Any] | None:
    """Return the power now."""
    if power is None:
        return None
    return {
        "watts": power.watts,
        "within_watts": power.within_watts,
        "from": utc_text(power.begin),
        "until": utc_text(power.end),
        "register_wh": power.register_wh,
    }


def fine_facts(use: FineUse) -> dict[str, Any]:
    """Return what was used between two readings."""
    return {
        "from": utc_text(use.begin),
        "until": utc_text(use.end),
        "energy_wh": use.energy_wh,
        "watts": use.watts,
        "suspect": use.is_suspect,
    }


def releases_facts(view: ReleasesView, zone: ZoneInfo) -> dict[str, Any]:
    """Return what left the house."""
    known = {name: known_facts(knowledge, zone) for name, knowledge in view.known.items()}
    if len(view.known) > 1:
        known[TOGETHER] = known_facts(view.together, zone)
    return {
        "released": [_released(one, zone) for one in view.releases],
        "refused": [{**_told(one), "why": one.why} for one in view.refusals],
        "known": known,
        "bytes_left_house": view.bytes_left_house,
        "outputs": [{**_told(one), "output": one.output, "bits": one.bits} for one in view.outputs],
        "exports": [
            {
                **_told(one),
                "resolution_minutes": one.resolution_minutes,
                "readings": one.readings,
            }
            for one in view.exports
        ],
        "aggregates": [
            {
                **_told(one),
                **_stretch(one.begin, one.end),
                "region": one.region,
                "resolution_minutes": one.resolution_minutes,
                "values": one.values,
                "households": one.group,
                "index": one.index or None,
            }
            for one in view.aggregates
        ],
        "copies": [
            {
                "time": utc_text(one.time),
                "form": one.form,
                **_stretch(one.begin, one.end),
                "readings": one.readings,
                "size": one.size,
                "sha256": one.digest.hex(),
            }
            for one in view.copies
        ],
        "raw_readings_left_house": view.readings_left_house,
    }


def _released(one: RecordedRelease, zone: ZoneInfo) -> dict[str, Any]:
    return {
        **_told(one.release),
        "statement": one.release.statement,
        "register": one.release.form.register or None,
        **_stretch(one.begin, one.end),
        "first_day": local_day(one.begin, zone),
        "last_day": local_day(one.end - 1, zone),
        "bits": one.release.bits,
        "bytes": one.size,
    }


class _Told(Protocol):
    """What every record of something told has."""

    @property
    def time(self) -> int: ...
    @property
    def recipient(self) -> str: ...
    @property
    def purpose(self) -> str: ...


def _told(one: _Told) -> dict[str, Any]:
    return {"time": utc_text(one.time), "recipient": one.recipient, "purpose": one.purpose}


def _stretch(begin: int, end: int) -> dict[str, Any]:
    return {"from": utc_text(begin), "until": utc_text(end)}


def known_facts(knowledge: Knowledge, zone: ZoneInfo) -> dict[str, Any]:
    """Return what somebody knows."""
    window = knowledge.shortest_window
    shown = None
    if window is not None:
        shown = {
            "first_day": local_day(window[0], zone),
            "last_day": local_day(window[1] - 1, zone),
            "days": round((window[1] - window[0]) / DAY_SECONDS, 2),
        }
    return {
        "slots": knowledge.slots,
        "degrees_of_freedom": knowledge.rank,
        "degrees_of_freedom_at_most": knowledge.classes,
        "bits": knowledge.bits,
        "shortest_window": shown,
        "nothing_finer_than_minutes": knowledge.least_seconds // 60,
        "peaks": knowledge.peaks,
    }


def message_facts(
    message: OutgoingMessage, content: bytes, fields: tuple[Field, ...]
) -> dict[str, Any]:
    """Return an outgoing message to the byte, and what can be read in it without its applet."""
    return {
        "entry": message.sequence,
        "time": utc_text(message.time),
        "recipient": message.recipient,
        "purpose": message.purpose,
        "applet": message.applet.hex().upper(),
        "size": len(content),
        "fields": [{"name": field.name, "value": field.value} for field in fields],
        "bytes": content.hex(),
    }


def offer_facts(offer: Offer) -> dict[str, Any]:
    """Return what a period would have cost under a tariff."""
    return {
        "tariff": offer.tariff.name,
        "revision": offer.tariff.revision,
        "cost": _money(offer.cost),
        "bill": None if offer.bill is None else offer.bill.as_json(),
        "no_cost_because": offer.reason,
    }


def forecast_facts(guess: Forecast) -> dict[str, Any]:
    """Return a forecast and how earlier ones did."""
    return {
        "method": FORECAST_METHOD,
        "tariff": guess.tariff.name,
        "first_day": guess.period.first.isoformat(),
        "last_day": guess.period.last.isoformat(),
        "known_until": utc_text(guess.known_until),
        "known_wh": guess.known_wh,
        "energy_wh": guess.energy_wh,
        "so_far": _money(guess.so_far),
        "cost": _money(guess.cost),
        "bill": guess.bill.as_json(),
        "mean_error_ppm": guess.mean_error_ppm,
        "worst_error_ppm": guess.worst_error_ppm,
        "backtests": [
            {
                "first_day": test.period.first.isoformat(),
                "forecast": _money(test.forecast),
                "actual": _money(test.actual),
                "error_ppm": test.error_ppm,
            }
            for test in guess.backtests
        ],
    }


def tariff_table_facts(table: TariffTable) -> dict[str, Any]:
    """Return tariff versions side by side."""
    return {
        "columns": [
            {
                "name": column.name,
                "revision": column.revision,
                "digest": column.digest.hex(),
                "first_day": column.first_day.isoformat(),
                "last_day": column.last_day.isoformat(),
            }
            for column in table.columns
        ],
        "rows": [
            {
                "component": row.component,
                "band": row.band,
                "when": row.when,
                "prices": list(row.prices),
                "changes": row.changes,
            }
            for row in table.rows
        ],
    }


def proof_facts(proof: ProofCheck) -> dict[str, Any]:
    """Return the verdict on a bill's proof."""
    return {
        "verdict": proof.verdict.value,
        "reason": proof.reason,
        "total": proof.total,
        "currency": proof.currency,
    }


def bill_facts(checked: CheckedBill, zone: ZoneInfo) -> dict[str, Any]:
    """Return a checked invoice as the JSON outputs show it."""
    invoice, bill = checked.invoice, checked.bill
    return {
        "invoice": invoice.number,
        "replaces": invoice.replaces or None,
        "issued": utc_text(invoice.issued),
        "from": utc_text(invoice.begin),
        "until": utc_text(invoice.end),
        "zone": zone.key,
        "first_day": local_day(invoice.begin, zone),
        "last_day": local_day(invoice.end - 1, zone),
        "currency": invoice.currency,
        "invoiced": invoice.total,
        "recomputed": None if bill is None else bill.total,
        "verdict": checked.verdict.value,
        "reason": checked.reason,
        "items": [] if bill is None else bill.as_json()["items"],
        "exact_decimals": None if bill is None else bill.exact_decimals,
        "missing_slots": [] if bill is None else [utc_text(s) for s in bill.missing_slots],
        "energy_wh": sum(checked.use_wh),
    }


def attack_facts(view: AttackView) -> dict[str, Any]:
    """Return what an attacker could infer from each curve."""
    return {
        "first_day": view.period.first.isoformat(),
        "last_day": view.period.last.isoformat(),
        "house": _attacked(view.house),
        "recipients": {name: _attacked(result) for name, result in view.recipients.items()},
        "together": _attacked(view.together),
    }


def _attacked(result: AttackResult) -> dict[str, Any]:
    return {
        "step_seconds": result.curve.step_seconds,
        "known_steps": sum(watts is not None for watts in result.curve.watts),
        "found": result.found,
        "wrong": result.wrong,
        "activations": [
            {
                "appliance": one.appliance.value,
                "from": utc_text(one.begin),
                "until": utc_text(one.end),
                "watts": one.watts,
            }
            for one in result.activations
        ],
    }


def _peak(peak: Peak | None) -> dict[str, Any] | None:
    if peak is None:
        return None
    return {
        "from": utc_text(peak.begin),
        "seconds": peak.seconds,
        "energy_wh": peak.energy_wh,
        "watts": peak.watts,
    }


def _money(money: Money | None) -> dict[str, Any] | None:
    return None if money is None else money.as_json()
