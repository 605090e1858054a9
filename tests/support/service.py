# SPDX-License-Identifier: Apache-2.0
"""A utility that is served, and clients of its interface, in this process."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from tests.support.clock import Clock as Clock
from tests.support.enrolment import GOOD
from utility_server.retail.utility import Utility
from utility_server.service.access.roles import Role
from utility_server.service.api.application import create_service_api
from utility_server.service.parts import ServiceParts, ServiceSettings

ORIGIN = "http://127.0.0.1:8420"
ENROLMENT = GOOD
METER = GOOD.meter.hex()
TARIFF = """
format = 1
name = "flat"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2020-01-01
valid_until = 2040-01-01
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "energy"
kind = "energy"
price = "0.31"
"""


@dataclass
class Served:
    """A served utility, and who asks it."""

    parts: ServiceParts
    client: TestClient
    clock: Clock
    log: list[tuple[str, Mapping[str, object]]]

    keys: dict[frozenset[Role], str] = field(default_factory=dict)

    def key(self, *roles: Role) -> str:
        """A key with these roles; with none, all."""
        wanted = frozenset(roles or Role)
        if wanted not in self.keys:
            _, self.keys[wanted] = self.parts.api_keys.create("test", wanted)
        return self.keys[wanted]

    def ask(self, method: str, path: str, *roles: Role, key: str = "", **more: Any) -> Response:
        """Ask with a key of these roles; with none, all."""
        headers = {"Authorization": f"Bearer {key or self.key(*roles)}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        """What is there, which must be there."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **more: Any) -> Any:
        """What a request says, which must end so."""
        answer = self.ask("POST", path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def tariff(self, text: str = TARIFF) -> str:
        """The digest of a registered tariff."""
        headers = {"Content-Type": "application/toml"}
        digest: str = self.post("/v1/tariffs", 201, content=text, headers=headers)["digest"]
        return digest

    def run(self) -> None:
        """Work on what is due, until nothing is."""
        for _ in range(1_000):
            self.parts.runner.tick()
            if not self.parts.runner.step():
                return
        raise AssertionError("the runs come to no end")


@cache
def _empty() -> Path:
    folder = Path(mkdtemp(prefix="meterlet-")) / "utility"
    Utility.create(folder).close()
    return folder


def new_utility(folder: Path) -> Path:
    """Make a utility without customers."""
    return Path(shutil.copytree(_empty(), folder))


@contextmanager
def served(
    folder: Path,
    app: Callable[[ServiceParts], ASGIApp] = create_service_api,
    change: Callable[[ServiceParts], ServiceParts] = lambda parts: parts,
    **settings: Any,
) -> Iterator[Served]:
    """Serve a utility's folder; `change` may put other parts in."""
    clock = settings.pop("now", None) or Clock()
    log: list[tuple[str, Mapping[str, object]]] = []
    origins = settings.pop("origins", frozenset({ORIGIN}))
    parts = change(
        ServiceParts.open(
            ServiceSettings(
                folder, origins, now=clock, log=lambda event, facts: log.append((event, facts)),
                **settings,
            )
        )
    )  # fmt: skip
    try:
        with TestClient(
            app(parts), base_url=ORIGIN, raise_server_exceptions=False, follow_redirects=False
        ) as client:
            yield Served(parts, client, clock, log)
    finally:
        parts.close()


def other_meters(count: int) -> list[bytes]:
    """Enrolment files of further meters."""
    return [
        replace(GOOD, meter=GOOD.meter[:-2] + number.to_bytes(2, "big")).encode()
        for number in range(2, 2 + count)
    ]
