# SPDX-License-Identifier: Apache-2.0
"""Make what a release stores, once, to be kept beside the tests of all releases after it.

    python -m tests.stored.make --release FOLDER --python PYTHON --package cli --output FOLDER

`--release` is a check-out of that release, `--python` the interpreter it is installed in and
`--package` its package of commands: `cli` in 0.1.0, `meterlet.commands` after it. Everything goes
through that release's own commands. All keys and passphrases are made for this and protect nothing.
"""

import argparse
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

METERS: Final = {
    "home": "0a014d544c0000000001",
    "solar": "0a014d544c0000000002",
    "compared": "0a014d544c0000000003",
}
"""The emulated meters with the serial numbers 1, 2 and 3."""
PASSPHRASE: Final = "made up for the tests"
MARCH: Final = ("--from", "2025-03-01", "--until", "2025-03-31")
DEMAND: Final = """
[[charge]]
name = "peak"
kind = "demand"
window = "1h"
price_per_kw = "1"
"""
"""A charge for the highest hour of the period, added to a tariff."""
REGION: Final = """
import json, sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from {demo}.region import Region, RegionPlan
from protocols.metrology import Period
first, last, manifest, splits_key = sys.argv[1:]
plan = RegionPlan(
    columns=("",) * 5, readings=None, unit="kWh", interval_seconds=3600, readings_zone="UTC",
    zone="Europe/Berlin", slot_minutes=60, resolution_minutes=60, source="synthetic",
    period=Period(date.fromisoformat(first), date.fromisoformat(last)), dropouts_percent=0,
    cheat=None, processes=1, manifest=manifest, splits_key=bool(splits_key),
)
region = Region(Path(), plan)
with ExitStack() as servers, ExitStack() as homes:
    region.start(homes, servers)
    if splits_key:
        assert region.aggregate()["verified"]
    print("ready", flush=True)
    sys.stdin.read()
"""
"""Runs a region of five homes in the working folder until its standard input ends."""


TICK: Final = """
import time
from pathlib import Path
from {package}.common import open_machine
from hub.device import Device
with Device.open(Path("raw"), now=lambda: int(time.time()) + 86_400) as device:
    card = device.card(open_machine())
    assert device.tick(card) + device.tick(card) == 1
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release, installed, and a folder to work in."""

    root: Path
    python: Path
    package: str
    """Of its commands."""
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what its commands are started with."""
        return {**os.environ, "PYTHONPATH": str(self.root), "NO_COLOR": "1"}

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run a command that must end with `code`; return what it printed."""
        module = f"{self.package}.main"
        command = [str(self.python), "-m", module, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        print("$", *command[3:], done.stderr[-300:], flush=True)  # noqa: T201 - a script
        if done.returncode != code:
            raise SystemExit(f"exit code {done.returncode} instead of {code}: {done.stdout}")
        return done.stdout

    @contextmanager
    def serving(self, hub: str) -> Iterator[str]:
        """Serve a hub; its address is yielded."""
        module = f"{self.package}.main"
        command = [str(self.python), "-m", module, "hub", "serve", "--hub", hub, "--port", "0"]
        with subprocess.Popen(
            [*command, "--json"], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
            text=True,
        ) as server:  # fmt: skip
            assert server.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                text += server.stdout.readline()
            address = json.loads(text)
            try:
                yield f"{address['host']}:{address['port']}"
            finally:
                server.send_signal(signal.SIGINT)
                assert server.wait(300) == 0

    @contextmanager
    def region(self, folder: str, *plan: str) -> Iterator[None]:
        """Run a region of five homes in a new folder."""
        (self.folder / folder).mkdir()
        command = [
            str(self.python),
            "-c",
            REGION.format(demo=f"{self.package.split('.')[0]}.demo"),
            *plan,
        ]
        with subprocess.Popen(
            command, cwd=self.folder / folder, env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdin is not None
            while "ready" not in (line := process.stdout.readline()):
                assert line, "the region has not started"
            try:
                yield
            finally:
                process.stdin.close()
                assert process.wait(300) == 0


def town(release: Release) -> None:
    """A supplier and four hubs: one register, two, one that is profiled, one with a raw applet."""
    run, folder, examples = release.run, release.folder, release.root / "examples" / "tariffs"
    run("tariff", "keygen", "--out", "vendor.key")
    run("utility", "init", "utility")
    run("applet", "new", "busiest-hour", "--raw", "--in", ".")
    for name in ("billing", "settlement", "profiling", "aggregation"):
        run("applet", "build", release.root / "applets" / name, "--key", "vendor.key",
            "-o", f"{name}.cap")  # fmt: skip
    run("applet", "build", "busiest_hour", "--key", "vendor.key", "-o", "busiest-hour.cap")
    run("hub", "init", "home", "--serial", 1, "--vendor", "vendor.key.pub")
    run("hub", "ingest", "--hub", "home", "synthetic", *MARCH)
    run("hub", "init", "solar", "--serial", 2, "--slot", 60, "--vendor", "vendor.key.pub",
        "--feed-in-register")  # fmt: skip
    run("hub", "ingest", "--hub", "solar", "synthetic", *MARCH, "--solar", "5")
    run("hub", "init", "compared", "--serial", 3, "--slot", 60, "--vendor", "vendor.key.pub")
    run("hub", "ingest", "--hub", "compared", "synthetic", *MARCH)
    for hub, names in {
        "home": ("billing", "settlement", "profiling", "aggregation"),
        "solar": ("billing",),
        "compared": ("profiling",),
    }.items():
        for name in names:
            enrolment = f"{hub}-{name}.json"
            run("applet", "install", "--hub", hub, f"{name}.cap", "--yes", "--recipient",
                "utility/public.pem", "--enrolment", enrolment)  # fmt: skip
            if name != "aggregation":  # its recipient is the grid operator, who keeps no customers
                run("utility", "enrol", "--utility", "utility", enrolment)
    raw_hub(release)
    tariffs = {
        "plain": (examples / "de-modul3-2025.toml").read_text(),
        "limits": (examples / "de-load-variable-2025.toml").read_text(),
        "feed-in": (examples / "de-feed-in-2025.toml").read_text(),
        "blocks": (examples / "us-baseline-tou-2025.toml").read_text()
        .replace('currency = "USD"', 'currency = "EUR"')
        .replace("America/Los_Angeles", "Europe/Berlin"),
        "demand": (examples / "de-feed-in-2025.toml").read_text() + DEMAND,
    }  # fmt: skip
    for name, text in tariffs.items():
        (folder / f"{name}.toml").write_text(text)
        run("utility", "sign", "--utility", "utility", f"{name}.toml", "-o", f"{name}.cose")
    run("profile", "bdew", "--month", "2025-03", "--minutes", 60, "-o", "bdew.profiles")
    run("index", "import", examples / "de-spot-2025-03.csv", "--series", "spot", "--currency",
        "EUR", "--column", "eur_per_mwh", "--unit", "EUR/MWh", "--step", 60,
        "-o", "spot.index")  # fmt: skip
    bill = "utility", "request", "bill", "--utility", "utility", "--month", "2025-03"
    with release.serving("home") as address:
        ask = *bill, "--meter", METERS["home"], "--hub", address, "--tariff"
        run(*ask, "plain.cose", "--bundle", "plain.bundle")
        run(*ask, "plain.toml")  # replaces the first
        run(*ask, "limits.cose", "--bundle", "limits.bundle")
        (folder / "customers.csv").write_text(
            f"meter,supplier,hub\n{METERS['home']},Nordstrom,{address}\n"
        )
        run("utility", "settle", "--utility", "utility", "--customers", "customers.csv",
            "--month", "2025-03", "--index", "spot.index", "--bundles", "settled")  # fmt: skip
    with release.serving("compared") as address:
        profile = ("utility", "request", "profile", "--utility", "utility", "--hub", address,
                   "--meter", METERS["compared"], "--month", "2025-03",
                   "--profiles", "bdew.profiles", "--method")  # fmt: skip
        for method in ("match", "scores"):
            run(*profile, method)
        run(*profile, "sample", "--one-in", 4)
        run(*profile, "sample", "--one-in", 3, code=5)  # a refusal, on record
    with release.serving("solar") as address:
        ask = *bill, "--meter", METERS["solar"], "--hub", address, "--tariff"
        run(*ask, "feed-in.cose", "--bundle", "feed-in.bundle")
        run(*ask, "demand.cose", "--bundle", "demand.bundle")
        run(*ask, "blocks.cose", "--bundle", "blocks.bundle")
    residents(release)
    run("hub", "snapshot", "--hub", "home", "home.snapshot")


def raw_hub(release: Release) -> None:
    """A hub whose raw applet has released an output, at a moment a day ahead."""
    today = datetime.now(UTC).date()
    run = release.run
    run("hub", "init", "raw", "--serial", 4, "--slot", 60, "--vendor", "vendor.key.pub")
    run("hub", "ingest", "--hub", "raw", "synthetic", "--from", today - timedelta(days=2),
        "--until", today + timedelta(days=2))  # fmt: skip
    run("applet", "install", "--hub", "raw", "busiest-hour.cap", "--yes", "--recipient",
        "vendor.key.pub", "--enrolment", "raw.json")  # fmt: skip
    subprocess.run(
        [str(release.python), "-c", TICK.format(package=release.package)],
        cwd=release.folder, env=release.environment, check=True,
    )  # fmt: skip


def residents(release: Release) -> None:
    """Who looks: owner and reader of the pages, a program's token, a consent to export, exports."""
    run = release.run
    (release.folder / "passphrase.txt").write_text(PASSPHRASE + "\n")
    for name, role in (("anna", "owner"), ("ben", "reader")):
        run("inspect", "users", "add", "--hub", "home", name, "--role", role,
            "--passphrase-file", "passphrase.txt")  # fmt: skip
    made = run("inspect", "tokens", "create", "--hub", "home", "display", "--scope", "device",
               "--scope", "readings", "--json")  # fmt: skip
    (release.folder / "token.json").write_text(made)
    run("inspect", "readings", "--hub", "home", "--by", "day")
    run("inspect", "consents", "export", "--hub", "home", "--recipient", "an adviser",
        "--purpose", "advice", "--from", "2025-03-01", "--until", "2025-03-07",
        "--holds-until", "2035-01-01")  # fmt: skip
    given = json.loads(run("inspect", "consents", "list", "--hub", "home", "--json"))["consents"]
    export = next(consent["number"] for consent in given if consent["recipient"] == "an adviser")
    run("inspect", "export", "consent", "--hub", "home", export, "-o", "adviser.csv")
    run("inspect", "export", "readings", "--hub", "home", *MARCH, "-o", "copy.csv", "--yes")
    run("inspect", "export", "bill", "--hub", "home", "-o", "own.bundle", "--yes")
    excess = next(one["number"] for one in given if one["statement"] == "excess")
    run("inspect", "consents", "revoke", "--hub", "home", excess)
    linear = next(one["number"] for one in given if one["purpose"] == "settlement")
    run("inspect", "consents", "narrow", "--hub", "home", linear, "--answers", 2)


def grid(release: Release) -> None:
    """Two operators: one whose key a trustee shares keeps load curves, one settles by worths."""
    run = release.run
    with release.region("curves", "2025-03-04", "2025-03-05", "manifest.toml", "yes"):
        pass
    mdms = "--mdms", "curves/mdms"
    run("mdms", "budget", *mdms, "--region", "Demonstration", "--rho", "0.5")
    run("mdms", "query", *mdms, "--region", "Demonstration", "--rho", "0.1")
    run("mdms", "notice", *mdms, "--region", "Demonstration", "-o", "curves.notice")
    run("mdms", "rotate", *mdms)
    rows = "".join(
        f"2025-{month:02}-{day:02}T{hour:02}:00:00Z,{hour}\n"
        for month, day in [(1, 31), *((2, day) for day in range(1, 29)), (3, 1)]
        for hour in range(24)
    )
    (release.folder / "february.csv").write_text("time,price\n" + rows)
    run("index", "import", "february.csv", "--series", "spot", "--currency", "EUR", "--column",
        "price", "--unit", "EUR/MWh", "--step", 60, "-o", "february.index")  # fmt: skip
    with release.region("worths", "2025-02-01", "2025-02-28", "settlement.toml", ""):
        run("utility", "settle", "--utility", "utility", "--mdms", "worths/mdms", "--index",
            "february.index", "--month", "2025-02", "--private",
            "Nordstrom=Demonstration")  # fmt: skip


SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "ledger": ("utility", "ledger", "--utility", "utility"),
    **{
        f"{hub}-{name}": (*command.split(), "--hub", hub)
        for hub in ("home", "solar", "compared", "raw")
        for name, command in {
            "status": "hub status",
            "applets": "applet list",
            "consents": "inspect consents list",
            "releases": "inspect releases",
            "days": "inspect readings --by day",
        }.items()
    },
    "home-bill": ("inspect", "bill", "--hub", "home"),
    "solar-bill": ("inspect", "bill", "--hub", "solar"),
    "home-users": ("inspect", "users", "list", "--hub", "home"),
    "home-tokens": ("inspect", "tokens", "list", "--hub", "home"),
    "curve": ("mdms", "query", "--mdms", "curves/mdms", "--region", "Demonstration", "--budget"),
    "noisy": ("mdms", "query", "--mdms", "curves/mdms", "--region", "Demonstration",
              "--rho", "0.1"),
    "member-status": ("hub", "status", "--hub", "curves/homes/0001"),
    "member-releases": ("inspect", "releases", "--hub", "curves/homes/0001"),
    "worth-releases": ("inspect", "releases", "--hub", "worths/homes/0001"),
    "profiles": ("profile", "show", "bdew.profiles"),
    "index": ("index", "show", "february.index"),
    "notice": ("inspect", "privacy", "curves.notice", "--operator", "curves/mdms/public.pem"),
    **{
        f"{name}-bundle": ("bill", "verify", f"{name}.bundle")
        for name in ("plain", "limits", "feed-in", "demand", "blocks", "own")
    },
    "settled-bundle": ("bill", "verify", f"settled/{METERS['home']}.bundle"),
    **{
        f"{name}-tariff": ("tariff", "show", f"{name}.cose", "--key", "utility/public.pem")
        for name in ("plain", "limits", "feed-in", "demand", "blocks")
    },
}  # fmt: skip
"""Commands that look, by the name under which what they show (`--json`) is kept in `shown`."""


def show(release: Release) -> None:
    """Keep what the release shows of all that it has stored."""
    (release.folder / "shown").mkdir()
    for name, command in SHOWN.items():
        text = release.run(*command, "--json")
        (release.folder / "shown" / f"{name}.json").write_text(text)


def pack(folder: Path, output: Path) -> None:
    """Put what is in a folder into archives: one of the town, one of the grid."""
    grid_names = {"curves", "worths", "curves.notice", "february.index", "february.csv"}
    output.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in folder.iterdir()}
    for archive, members in {"grid": names & grid_names, "town": names - grid_names}.items():
        with tarfile.open(output / f"{archive}.tar.xz", "w:xz", preset=9) as tar:
            for name in sorted(members):
                tar.add(folder / name, name, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return a member without its owner; sockets, logs and caches are left out."""
    if not (member.isfile() or member.isdir()) or member.name.endswith((".log", ".pyc")):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main() -> None:
    """Make everything, in a folder in passing."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("release", "python", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--package", default="meterlet.commands")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        release = Release(options.release, options.python, options.package, Path(folder))
        town(release)
        grid(release)
        show(release)
        pack(Path(folder), options.output.resolve())


if __name__ == "__main__":
    main()
