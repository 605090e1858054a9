# SPDX-License-Identifier: Apache-2.0
"""Settlement as its parties run it: two homes with hubs, two suppliers, who settles between."""

import csv
import json
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.meters.emulated import emulated_meter_id
from tests.support.command import ROOT, run_meterlet
from tests.support.town import Town, done

BERLIN = ZoneInfo("Europe/Berlin")
SUPPLIERS = {1: "Nordstrom eG", 2: "Stadtwerke"}


def prices(path: Path) -> dict[datetime, Decimal]:
    """Write a month of hourly prices as a market would; return them by the hour's start."""
    found = {}
    start = datetime(2025, 2, 28, 23, tzinfo=ZoneInfo("UTC"))
    for hour in range(31 * 24 - 1):
        price = Decimal((hour * 7919) % 40_000 - 5_000).scaleb(-3)
        found[start + timedelta(hours=hour)] = price
    rows = "".join(f"{at:%Y-%m-%dT%H:%M:%SZ},{price}\n" for at, price in found.items())
    path.write_text("utc,ct\n" + rows)
    return found


def home(folder: Path, serial: int) -> Town:
    town = Town(folder / f"home{serial}")
    town.folder.mkdir()
    vendor, enrolment = folder / "vendor.key", town.folder / "enrolment.json"
    done("hub", "init", town.hub, "--serial", serial, "--vendor", f"{vendor}.pub")
    march = "synthetic", "--from", "2025-03-01", "--until", "2025-03-31", "--seed", serial
    done("hub", "ingest", "--hub", town.hub, *march)
    done(
        "applet", "install", "--hub", town.hub, folder / "settlement.cap", "--yes",
        "--recipient", folder / "grid" / "public.pem", "--enrolment", enrolment,
    )  # fmt: skip
    done("utility", "enrol", "--utility", folder / "grid", enrolment)
    return town


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Town]]:
    folder = tmp_path_factory.mktemp("region")
    vendor = folder / "vendor.key"
    done("tariff", "keygen", "--out", vendor)
    package = folder / "settlement.cap"
    done("applet", "build", ROOT / "applets" / "settlement", "--key", vendor, "-o", package)
    done("utility", "init", folder / "grid")
    return folder, [home(folder, serial) for serial in SUPPLIERS]


def worth(town: Town, found: dict[datetime, Decimal], folder: Path) -> Decimal:
    """What a home's month was worth, from its own readings, in the currency."""
    readings = folder / f"{town.folder.name}.csv"
    given = done(
        "inspect", "consents", "export", "--hub", town.hub, "--recipient", "me", "--minutes", 15,
        "--purpose", "check", "--from", "2025-03-01", "--until", "2025-03-31",
        "--holds-until", "2099-01-01",
    )  # fmt: skip
    number = given.split()[1]
    done("inspect", "export", "consent", "--hub", town.hub, number, "-o", readings)
    total = Decimal(0)
    for row in csv.DictReader(readings.read_text().splitlines()):
        start = datetime.fromisoformat(row["start_utc"])
        total += found[start.replace(minute=0)] * int(row["energy_wh"])
    return total / 100_000


def test_suppliers_are_charged_what_their_customers_used_was_worth(
    region: tuple[Path, list[Town]], tmp_path: Path
) -> None:
    folder, towns = region
    found = prices(folder / "spot.csv")
    index, customers = folder / "spot.index", folder / "customers.csv"
    done(
        "index", "import", folder / "spot.csv", "--series", "spot", "--currency", "EUR",
        "--column", "ct", "--unit", "ct/kWh", "--step", 60, "-o", index,
    )  # fmt: skip
    settle = (
        "utility", "settle", "--utility", folder / "grid", "--month", "2025-03",
        "--index", index, "--customers", customers,
    )  # fmt: skip
    with ExitStack() as hubs:
        addresses = [hubs.enter_context(town.serving()) for town in towns]
        rows = [
            f"{emulated_meter_id(serial).hex()},{name},{address}\n"
            for (serial, name), address in zip(SUPPLIERS.items(), addresses, strict=True)
        ]
        customers.write_text("meter,supplier,hub\n" + "".join(rows))
        facts = json.loads(done(*settle, "--json", "--bundles", tmp_path / "bundles"))
        assert (facts["settled"], facts["unsettled"], facts["provisional"]) == (2, [], False)
        # Verified elsewhere; it tells nothing new, and counts once.
        again = json.loads(done(*settle, "--json", "--processes", 2))
        assert again["suppliers"] == facts["suppliers"]
    exact: dict[str, Decimal] = {}
    for town, name in zip(towns, SUPPLIERS.values(), strict=True):
        told = worth(town, found, tmp_path).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        exact[name] = exact.get(name, Decimal(0)) + told
    for name, share in facts["suppliers"].items():
        assert Decimal(share["exact"]).scaleb(-9) == exact[name]
        assert abs(Decimal(share["share"]) - exact[name]) < Decimal("0.01")
    assert sum(Decimal(one["share"]) for one in facts["suppliers"].values()) == Decimal(
        facts["total"]
    )
    for bundle in (tmp_path / "bundles").iterdir():
        checked = json.loads(
            done("bill", "verify", bundle, "--supplier", folder / "grid" / "public.pem", "--json")
        )
        assert (checked["verdict"], f"{checked['meter']}.bundle") == ("matches", bundle.name)
        altered = bytearray(bundle.read_bytes())
        altered[len(altered) // 2] ^= 1
        bundle.write_bytes(altered)
        assert run_meterlet("bill", "verify", bundle).returncode == 3
    ledger = json.loads(done("utility", "ledger", "--utility", folder / "grid", "--json"))
    assert [entry["kind"] for entry in ledger["entries"]] == [
        "settlement"
    ] * 4  # two homes, asked twice
    released = json.loads(done("inspect", "releases", "--hub", towns[0].hub, "--json"))
    known = released["known"]["settlement"]
    assert (known["numbers"], known["bundles"]) == (1, 1)
    code, line = refused_after_output(*settle, "--json")
    assert (code, "2 customers are not settled" in line) == (4, True)


def refused_after_output(*arguments: object) -> tuple[int, str]:
    """Run a command that prints what it has and then fails in one line."""
    ran = run_meterlet(*arguments)
    assert json.loads(ran.stdout)["settled"] == 0
    (line,) = ran.stderr.splitlines()
    return ran.returncode, line


def test_the_resident_is_told_how_fine_the_sum_is_and_can_refuse(
    region: tuple[Path, list[Town]],
) -> None:
    folder, _ = region
    hub = folder / "careful"
    done("hub", "init", hub, "--serial", 9, "--vendor", folder / "vendor.key.pub")
    install = (
        "applet", "install", "--hub", hub, folder / "settlement.cap",
        "--recipient", folder / "grid" / "public.pem", "--enrolment", folder / "careful.json",
    )  # fmt: skip
    plan = json.loads(done(*install, "--dry-run", "--json"))
    (sentence,) = plan["consents"]
    assert "every 15 minutes may have a price of their own" in sentence
    assert "At most 3 numbers are about any one moment" in sentence
    assert "at most 72 bits about any one of your readings" in sentence
    assert not (folder / "careful.json").exists()
