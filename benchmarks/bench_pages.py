# SPDX-License-Identifier: Apache-2.0
"""The resident's pages with two years of quarter-hours and a month of minutes.

In one run: the first byte of each page (asked over HTTP, as a browser does), the full load in a
browser where there is one, and the server's memory after all of it. The aims, on a class of
machine with two cores: 150 ms, 500 ms, 150 MB; `pytest -s` prints what was measured beside them.
"""

import http.client
import os
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hub.device import Device
from hub.inspection.web import ResidentRole, Residents
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Reading
from tests.support.chromium import CHROMIUM, NAME, PASSPHRASE, sync_api, visiting
from tests.support.command import run_meterlet
from tests.support.serving import Home

FIRST_BYTE_MS, LOAD_MS, MEMORY_MB = 150, 500, 150
MINUTES_FROM, QUARTERS_FROM = date(2025, 3, 1), date(2023, 3, 1)
LAST = date(2025, 3, 31)
ROUNDS = 15
PAGES = {
    "now": "/",
    "day": "/readings?view=day&at=2025-03-14",
    "day of 15 min": "/readings?view=day&at=2024-10-27&by=slot",
    "hour": "/readings?view=hour&at=2025-03-14&hour=18",
    "week": "/readings?view=week&at=2025-03-14",
    "week by hour": "/readings?view=week&at=2025-03-14&by=hour",
    "month beside a month": "/readings?view=month&at=2025-03-01&beside=2025-02-01",
    "year beside a year": "/readings?view=year&at=2025-03-01&beside=2024-03-01",
    "minutes of a day": "/readings/minutes?at=2025-03-14",
    "releases": "/releases",
    "consents": "/consents",
    "bill": "/bill",
    "tariffs": "/bill/tariffs",
    "applets": "/applets",
    "log": "/log",
    "export": "/export",
    "about": "/about",
}


@dataclass(frozen=True)
class Server:
    """Pages that are served, and a session at them."""

    address: str
    process: int
    cookie: str

    def first_byte(self, path: str) -> float:
        """Ask for a page on a connection of its own; return how many ms its first byte took."""
        host = self.address.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host)
        connection.connect()
        begin = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()  # the status line and the fields: the first bytes
        took = 1000 * (time.perf_counter() - begin)
        content = answer.read()
        connection.close()
        assert answer.status == 200, content[:200]
        return took

    @property
    def memory_mb(self) -> int:
        """The server's resident memory now."""
        status = Path(f"/proc/{self.process}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) // 1024


def fill(home: Home) -> None:
    """Put quarter-hours before the month that is billed; that month itself is of minutes."""
    house = SyntheticHousehold("Europe/Berlin")

    def readings(first: date, last: date, seconds: int) -> Iterator[Reading]:
        yield from house.readings(first, last, seconds)

    before = MINUTES_FROM - timedelta(days=1)
    quarters = list(readings(QUARTERS_FROM, before, 900))
    minutes = list(readings(MINUTES_FROM, LAST, 60))
    shift = quarters[-1].register_wh - minutes[0].register_wh
    fine = [Reading(one.time, one.register_wh + shift) for one in minutes[1:]]
    with Device.open(home.hub) as device:
        device.main.vault.append(device.main.channel, [*quarters, *fine])
        device.main.certify()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    town = tmp_path_factory.mktemp("town")
    home = Home(town / "kept")
    build(home, town)
    with Residents.open(home.hub, lambda: int(time.time()), os.urandom) as residents:
        residents.add(NAME, ResidentRole.OWNER, PASSPHRASE)
    with home.running("inspect", "serve") as serving:
        yield Server(serving["address"], serving["process"], sign_in(serving["address"]))


def build(home: Home, town: Path) -> None:
    """Make a hub and a supplier, two years of readings, and the bill of the last month."""
    from tests.support.town import Town, done

    like = Town(home.folder)
    home.folder.mkdir()
    vendor, package, enrolment = town / "vendor.key", town / "billing.cap", town / "enrolment"
    root = Path(__file__).resolve().parents[1]
    done("tariff", "keygen", "--out", vendor)
    done("applet", "build", root / "applets" / "billing", "--key", vendor, "-o", package)
    done("utility", "init", home.utility)
    done("hub", "init", home.hub, "--serial", 1, "--vendor", f"{vendor}.pub")
    fill(home)
    done(
        "applet", "install", "--hub", home.hub, package, "--yes",
        "--recipient", home.utility / "public.pem", "--enrolment", enrolment,
    )  # fmt: skip
    done("utility", "enrol", "--utility", home.utility, enrolment)
    with like.serving() as address:
        asked = run_meterlet(*like.request(address, root / "meterlet" / "demo" / "tariff.toml"))
        assert asked.returncode == 0, asked.stderr


def sign_in(address: str) -> str:
    """Sign in over HTTP; return the session's cookie."""
    host = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(host)
    connection.request("GET", "/sign-in")
    answer = connection.getresponse()
    page, door = answer.read().decode(), str(answer.getheader("Set-Cookie")).partition(";")[0]
    token = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert token is not None
    body = urlencode({"token": token[1], "name": NAME, "passphrase": PASSPHRASE})
    headers = {
        "Cookie": door,
        "Origin": address.rstrip("/"),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection.request("POST", "/sign-in", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 303
    return str(answer.getheader("Set-Cookie")).partition(";")[0]


@pytest.mark.parametrize("name", PAGES)
def bench_first_byte(benchmark: BenchmarkFixture, server: Server, name: str) -> None:
    server.first_byte(PAGES[name])  # the sums of all days are kept by now
    took: list[float] = []
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: took.append(server.first_byte(PAGES[name])), rounds=ROUNDS, iterations=1
    )
    print(
        f"\n{name}: first byte {statistics.median(took):.0f} ms, worst {max(took):.0f} ms"
        f" (aim {FIRST_BYTE_MS}); memory {server.memory_mb} MB (aim {MEMORY_MB})"
    )


@pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: Chromium is not installed")
def bench_full_load(benchmark: BenchmarkFixture, server: Server) -> None:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with visiting(chromium, server.address) as visit:
            visit.sign_in()
            timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
            for name, path in PAGES.items():
                if path.startswith("/readings/minutes"):
                    continue
                took = []
                for _ in range(5):
                    visit.open(path)
                    visit.page.wait_for_load_state("load")
                    took.append(visit.page.evaluate(timing))
                print(
                    f"\n{name}: full load {statistics.median(took):.0f} ms,"
                    f" worst {max(took):.0f} ms (aim {LOAD_MS})"
                )
            benchmark.pedantic(  # type: ignore[no-untyped-call]
                lambda: visit.open("/"), rounds=5, iterations=1
            )
        chromium.close()
    print(f"\nthe server's memory at the end: {server.memory_mb} MB (aim {MEMORY_MB})")
