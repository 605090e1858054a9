# SPDX-License-Identifier: Apache-2.0
"""A resident's browser without a browser: the application itself, asked by a client."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

from hub.device import Device
from hub.disclosure import LogEntry
from hub.inspection.web import Parts, ResidentRole, Settings, create_application, make_parts
from hub.machine.machine import AppletMachine
from meterlet.commands.inspect.proofs import BillingProofs
from tests.support.clock import Clock as Clock
from tests.support.waiting import wait_until

ORIGIN = "http://127.0.0.1:8321"
PASSPHRASE = "correct horse battery"


@dataclass
class Browser:
    """Somebody at the pages of one hub."""

    folder: Path
    parts: Parts
    client: TestClient
    clock: Clock

    def get(self, path: str, **options: Any) -> Response:
        return self.client.get(path, **options)

    def token(self, path: str = "/about") -> str:
        """The token in a page's first form."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.get(path).text)
        assert found is not None, path
        return found[1]

    def post(
        self,
        path: str,
        given: Mapping[str, str] | None = None,
        *,
        page: str = "/about",
        headers: dict[str, str] | None = None,
        files: dict[str, Any] | None = None,
        **fields: str,
    ) -> Response:
        """Send a form as a page of the hub's would."""
        data = {"token": self.token(page), **(given or {}), **fields}
        return self.client.post(
            path, data=data, files=files, headers={"Origin": ORIGIN, **(headers or {})}
        )

    def sign_in(self, name: str = "anna", passphrase: str = PASSPHRASE) -> Response:
        return self.post("/sign-in", page="/sign-in", name=name, passphrase=passphrase)

    def finish(self, answer: Response) -> Response:
        """Wait for the long work that an answer has led to; return its result's page."""
        assert "/work/" in str(answer.url), answer.text
        pages = [answer]

        def is_done() -> bool:
            if "Refresh" in pages[-1].headers:
                pages.append(self.get(answer.url.path))
            return "Refresh" not in pages[-1].headers

        wait_until(is_done, "the end of the work")
        return pages[-1]

    def events(self) -> list[LogEntry]:
        """What the log has about the door."""
        with Device.open(self.folder) as device:
            device.disclosure.log.verify()
            return list(device.disclosure.log.entries("door"))

    def happened(self) -> list[str]:
        return [entry.facts["event"] for entry in self.events()]


@contextmanager
def browser(folder: Path, role: ResidentRole | None = ResidentRole.OWNER) -> Iterator[Browser]:
    """Open the pages of a hub; with a role, signed in as anna."""
    clock = Clock()

    settings = Settings(
        folder,
        Settings.origins_of(("127.0.0.1", "localhost"), 8321, is_secure=False),
        AppletMachine.open,
        BillingProofs(),
        now=clock,
    )
    parts = make_parts(settings)
    application = create_application(parts)
    with TestClient(application, base_url=ORIGIN) as client:
        someone = Browser(folder, parts, client, clock)
        if role is not None:
            parts.residents.add_first("owner", PASSPHRASE)
            parts.residents.add("anna", role, PASSPHRASE)
            assert someone.sign_in().status_code == 200
        yield someone
