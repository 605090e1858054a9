# SPDX-License-Identifier: Apache-2.0
"""A browser at the pages of a hub."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.command import ROOT
from tests.support.soak import IS_SOAKING
from tests.support.waiting import PATIENCE

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="NO BROWSER: playwright is not installed (extra `browser`)"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NAME, PASSPHRASE = "anna", "correct horse battery"
AXE = ROOT / "tests" / "journeys" / "vendor" / "axe.min.js"
APPLET = "f04d544c010101"
SIZES = {"target-size": {"enabled": True}}  # WCAG 2.2; axe leaves it out unless asked
LOOKS = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1180, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1180, "height": 900}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}


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

    def violations(self, *, only_looks: bool = False) -> list[str]:
        """What axe finds wrong with the page, against WCAG 2.2 A and AA and its best practices.

        `only_looks`: by the rules that go by how a page is drawn, where what it says has been
        looked at already; `make soak` applies all of them.
        """
        self.page.evaluate(AXE.read_text())
        options: dict[str, Any] = {"resultTypes": ["violations"], "rules": SIZES}
        if only_looks and not IS_SOAKING:
            options = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": LOOKS}}
        found = self.page.evaluate("options => axe.run(document, options)", options)
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
    context.set_default_timeout(1000 * PATIENCE)
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
