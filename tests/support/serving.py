# SPDX-License-Identifier: Apache-2.0
"""A household, a month of it billed and days up to today, and commands that serve it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.command import run_meterlet, serving


def today() -> date:
    return datetime.now(UTC).astimezone(ZoneInfo("Europe/Berlin")).date()


def last_month() -> date:
    """The first day of the month before this one."""
    return (today().replace(day=1) - timedelta(days=1)).replace(day=1)


@dataclass
class Home:
    """A household's hub and its supplier, in a folder."""

    folder: Path

    @property
    def hub(self) -> Path:
        return self.folder / "hub"

    @property
    def utility(self) -> Path:
        return self.folder / "utility"

    def build(self) -> None:
        month = f"{last_month():%Y-%m}"
        done = run_meterlet("demo", "--keep", self.folder, "--month", month, "--json")
        assert done.returncode == 0, done.stderr
        days = "--from", today().replace(day=1), "--until", today()
        done = run_meterlet("hub", "ingest", "--hub", self.hub, "synthetic", *days)
        assert done.returncode == 0, done.stderr

    @contextmanager
    def running(self, *arguments: str) -> Iterator[dict[str, Any]]:
        """Run a command that serves; yield the JSON it prints; it must end well."""
        with serving(*arguments, "--hub", self.hub, "--port", 0) as said:
            yield said
