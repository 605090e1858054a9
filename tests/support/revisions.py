# SPDX-License-Identifier: Apache-2.0
"""A register's certifier, four days with the clock change among them, and what was read."""

from datetime import date
from typing import Final

from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.metrology import Period, Series

SERIES: Final = Series(b"meter 1", bytes.fromhex("0100010800ff"), "Europe/Berlin", 15)
KEYS: Final = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
CERTIFIER: Final = Certifier(SERIES, KEYS)
PERIOD: Final = Period(date(2025, 3, 29), date(2025, 4, 1))  # the second day has 23 hours


def certified(start_wh: int = 1000) -> list[Certification]:
    """Return the days, with a reading each five minutes."""
    begin, end = PERIOD.bounds(SERIES.zone)
    register, readings = start_wh, []
    for place, time in enumerate(range(begin, end + 1, 300)):
        readings.append(Reading(time, register))
        register += 20 + place % 30
    done: list[Certification] = []
    for day in PERIOD.days(SERIES.zone):
        done.append(CERTIFIER.certify(day, readings, done[-1] if done else None))
    return done
