# SPDX-License-Identifier: Apache-2.0
"""A household, a month of it billed and days up to today, and commands that serve it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.command import ROOT, run_meterlet

PROGRAM = (sys.executable, "-W", "error", "-m", "meterlet")


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
        command = [*PROGRAM, *arguments, "--hub", str(self.hub), "--port", "0", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
            assert server.stdout is not None
            try:
                text = ""
                while not text.endswith("}\n"):
                    line = server.stdout.readline()
                    assert line, text
                    text += line
                yield json.loads(text)
            finally:
                server.send_signal(signal.SIGTERM)
                assert server.wait(30) == 0
