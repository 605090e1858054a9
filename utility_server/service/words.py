# SPDX-License-Identifier: Apache-2.0
"""Small texts that several parts of the service show."""

from datetime import UTC, datetime


def utc_text(time: int) -> str:
    """Return a moment as RFC 3339 writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
