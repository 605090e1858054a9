# SPDX-License-Identifier: Apache-2.0
"""Meters that were exchanged within a bill's period, for JSON and for people."""

from collections.abc import Sequence

from hub.text import utc_text
from protocols.metrology import ExchangedMeter


def exchange_facts(exchanges: Sequence[ExchangedMeter]) -> dict[str, list[dict[str, str]]]:
    """Return the member `meter_exchanges`, where there are any."""
    if not exchanges:
        return {}
    return {
        "meter_exchanges": [
            {
                "slot": utc_text(one.begin),
                "old_meter": one.old_meter.hex(),
                "new_meter": one.new_meter.hex(),
            }
            for one in exchanges
        ]
    }


def exchange_lines(exchanges: Sequence[ExchangedMeter]) -> list[str]:
    """Return a line for each exchange."""
    return [
        f"meter exchanged in the slot from {utc_text(one.begin)}: {one.old_meter.hex()} was taken"
        f" down, {one.new_meter.hex()} put up"
        for one in exchanges
    ]
