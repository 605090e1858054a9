# SPDX-License-Identifier: Apache-2.0
"""Small texts that several parts of the service show."""

from datetime import UTC, datetime


def place_of(error: BaseException) -> str:
    """Return where an error was raised, as FUNCTION:LINE; it has nothing of what was sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"


def utc_text(time: int) -> str:
    """Return a moment as RFC 3339 writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
