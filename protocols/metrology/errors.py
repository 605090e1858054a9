# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a grid or a certified day.

MetrologyError
  GridError      a day, zone or slot length that no grid can be made of
  MalformedDay   bytes are not a certified day in its only encoding
  MalformedAnnouncement   bytes are not announcements of certifier keys (`key_chain`)
  ChainRefused   announcements that do not succeed the key that they should
  DayRefused     a well-formed day that fails a check: not signed, moved, not summing up
"""

from datetime import date


class MetrologyError(Exception):
    """Base of all errors of grids and certified days."""


class GridError(MetrologyError):
    """No grid of slots can be made of this day, zone or slot length."""


class MalformedDay(MetrologyError):
    """Bytes are not a certified day in its only encoding."""


class DayRefused(MetrologyError):
    """A certified day fails a check; the message names the day and the check."""

    def __init__(self, day: date, reason: str) -> None:
        super().__init__(f"{day}: {reason}")
        self.day, self.reason = day, reason
