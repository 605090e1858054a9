# SPDX-License-Identifier: Apache-2.0
"""Small texts that several parts of the service show."""

import re
from datetime import UTC, datetime


def kind_of(error: BaseException) -> str:
    """Return the kind of an error: its class, in small letters with hyphens."""
    name = type(error).__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def utc_text(time: int) -> str:
    """Return a moment as RFC 3339 writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
