# SPDX-License-Identifier: Apache-2.0
"""A household, a month of it billed and days up to today, its pages served, and a browser."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.journeys.conftest import ROOT, run_meterlet

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="NO BROWSER: playwright is not installed (extra `browser`)"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NAME, PASSPHRASE = "anna", "correct horse battery"
AXE = ROOT / "tests" / "journeys" / "vendor" / "axe.min.js"
APPLET = "f04d544c010101"
PROGRAM = (sys.executable, "-W", "error", "-m", "cli.main")
MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1180, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1180, "height": 900}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}


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


@dataclass
class Visit:
    """A browser at the pages; what it asked the network for, and what it complained of."""

    page: Any
    address: str
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        return self.page.goto(self.address.rstrip("/") + path)

    def sign_in(self) -> None:
        self.open("/sign-in")
        self.page.fill("#name", NAME)
        self.page.fill("#passphrase", PASSPHRASE)
        self.page.press("#passphrase", "Enter")
        self.page.wait_for_url(self.address)

    def follow(self, name: str) -> None:
        """Click a link of the navigation."""
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()

    def text(self, selector: str) -> str:
        found: str = self.page.inner_text(selector)
        return re.sub(r"\s+", " ", found)

    def violations(self) -> list[str]:
        """What axe finds wrong with the page, against WCAG 2.2 A and AA and its best practices."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document)")
        return [
            f"{one['id']}: {node['html'][:120]}: {node['failureSummary'][:200]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]


@contextmanager
def visiting(browser: Any, address: str, **options: Any) -> Iterator[Visit]:
    """Open a window of its own; at the end nothing must have gone anywhere else."""
    context = browser.new_context(
        **{"locale": "en-GB", "reduced_motion": "reduce", "accept_downloads": True, **options}
    )
    visit = Visit(context.new_page(), address)
    context.on("request", lambda request: visit.requested.append(request.url))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on(
        "console",
        lambda line: visit.complaints.append(line.text) if line.type == "error" else None,
    )
    try:
        yield visit
    finally:
        context.close()
    elsewhere = [url for url in visit.requested if not url.startswith(address)]
    assert elsewhere == []
