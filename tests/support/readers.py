# SPDX-License-Identifier: Apache-2.0
"""A reader at a hub's programming interface, as a small computer beside the meter is one."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from hub.device import Description, Device
from hub.inspection.api.application import create_api
from hub.inspection.api.login import PasswordCheck
from hub.inspection.api.rate_limit import RateLimit
from hub.inspection.passphrases import Passphrases
from hub.inspection.readers.readers import Reader, Readers
from hub.inspection.readers.terms import ReaderScope
from hub.inspection.store import open_inspection
from hub.inspection.web.access.residents import Residents
from hub.inspection.web.access.throttle import Throttle
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period

NOON = 1_743_501_600
"""2025-04-01T12:00:00+02:00."""
DAYS = Period(date(2025, 3, 24), date(2025, 3, 30))
UNTIL = date(2026, 1, 1)
PASSWORD = "correct horse battery"
PASSPHRASES = Passphrases.make(lambda size: bytes(size))


def make_home(folder: Path) -> None:
    """Make a hub with readings from 22 March to noon of 1 April 2025."""
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(folder, description, now=lambda: NOON) as device:
        house = SyntheticHousehold("Europe/Berlin")
        readings = house.readings(date(2025, 3, 22), date(2025, 4, 1), 300)
        known = [reading for reading in readings if reading.time <= NOON]
        device.main.vault.append(device.main.channel, known)
        device.main.certify()


def allow(
    device: Device,
    name: str = "pi",
    minutes: int = 60,
    *,
    period: Period = DAYS,
    registers: tuple[bytes, ...] = (ACTIVE_ENERGY_IMPORT,),
    until: date = UNTIL,
    is_live: bool = False,
    password: str = "",
) -> tuple[Reader, str]:
    """Allow a reader, and return it with its token."""
    scope = ReaderScope.of(registers, period, is_live=is_live)
    with open_inspection(device) as database:
        readers = Readers(database, device)
        reader, token = readers.allow(
            readers.terms(name, "a chart in the hall", scope, minutes, until)
        )
        if password:
            readers.set_password(name, password, PASSPHRASES)
    return reader, token


def revoke(device: Device, name: str = "pi") -> None:
    """Withdraw what a reader was allowed."""
    with open_inspection(device) as database:
        Readers(database, device).revoke(name)


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token or a session."""
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header that shows name and password."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class Interface:
    """The programming interface of a hub, whose clock a test sets."""

    client: TestClient
    clock: list[int]

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        """Return the answer to a question below `/api/v1`."""
        return self.client.get(f"/api/v1{path}", headers=headers)

    def log_in(self, name: str, password: str, **more: Any) -> Any:
        """Return the answer to a login."""
        body = {"name": name, "password": password}
        return self.client.post("/api/v1/login", json=body, **more)


@contextmanager
def interface(
    device: Device, now: int, *, is_secure: bool = False, address: str = "127.0.0.1"
) -> Iterator[Interface]:
    """Serve the programming interface to a client at an address."""
    clock = [now]

    def open_device() -> Device:
        return Device.open(device.folder, now=lambda: clock[0])

    with Residents.open(device.folder, lambda: clock[0], lambda size: bytes(size)) as residents:
        passwords = PasswordCheck(Throttle(residents.database), PASSPHRASES, is_secure)
        api = create_api(
            open_device,
            requests=RateLimit(200, 600),
            failures=RateLimit(3, 6),
            passwords=passwords,
        )
        app = Starlette(routes=[Mount("/api", app=api)])
        with TestClient(app, client=(address, 50_000)) as client:
            yield Interface(client, clock)
