# SPDX-License-Identifier: Apache-2.0
"""The error of files of readings."""

from pathlib import Path

from hub.errors import HubError


class ReplayError(HubError):
    """A file cannot be replayed; nothing of it was taken."""


def wrong_line(path: Path, number: int, what: str) -> ReplayError:
    """Return the error about a line of a file."""
    return ReplayError(f"{path}: line {number}: {what}")
