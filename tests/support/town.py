# SPDX-License-Identifier: Apache-2.0
"""A home with a hub and its supplier, each command in a process of its own."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hub.meters.emulated import emulated_meter_id
from tests.support.command import ROOT, run_meterlet, serving_hub

METER = emulated_meter_id(1).hex()
MARCH = "synthetic", "--from", "2025-03-01", "--until", "2025-03-31"
TARIFF = ROOT / "examples" / "tariffs" / "de-modul3-2025.toml"
LOAD_VARIABLE = TARIFF.with_name("de-load-variable-2025.toml")


def done(*arguments: object) -> str:
    """Run a command that must succeed; return what it printed."""
    ran = run_meterlet(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def provisional(*arguments: object) -> str:
    """Ask for a bill that must be provisional; return what was printed of it."""
    ran = run_meterlet(*arguments)
    assert (ran.returncode, "provisional: " in ran.stderr) == (4, True), ran.stderr
    return ran.stdout


def refused(*arguments: object) -> tuple[int, str]:
    """Run a command that must fail in one line; return exit code and line."""
    ran = run_meterlet(*arguments)
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    if "--json" in arguments:
        return ran.returncode, f"meterlet: {json.loads(line)['message']}"
    assert line.startswith("meterlet: ")
    return ran.returncode, line


@cache
def _usual_town() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="meterlet-town-"))
    Town(folder).build_anew((), MARCH)
    return folder


def remove_usual_town() -> None:
    """Remove the town that others are copied from, if there is one."""
    if _usual_town.cache_info().currsize:
        shutil.rmtree(_usual_town())
        _usual_town.cache_clear()


@dataclass(frozen=True, slots=True)
class Town:
    """A home with a hub, and its supplier."""

    folder: Path

    @property
    def hub(self) -> Path:
        return self.folder / "hub"

    @property
    def utility(self) -> Path:
        return self.folder / "utility"

    def build(self, init: Sequence[object] = (), source: Sequence[object] = MARCH) -> None:
        """Make all of it, with readings; the usual town is made once a process, and copied."""
        if (tuple(init), tuple(source)) == ((), MARCH):
            shutil.copytree(_usual_town(), self.folder, dirs_exist_ok=True)
        else:
            self.build_anew(init, source)

    def build_anew(self, init: Sequence[object], source: Sequence[object]) -> None:
        self.found("--serial", 1, *init)
        done("hub", "ingest", "--hub", self.hub, *source)
        self.enrol()

    def found(self, *init: object) -> None:
        """Make the vendor, the billing applet, the utility and a hub without readings."""
        vendor, package = self.folder / "vendor.key", self.package
        done("tariff", "keygen", "--out", vendor)
        done("applet", "build", ROOT / "applets" / "billing", "--key", vendor, "-o", package)
        done("utility", "init", self.utility)
        done("hub", "init", self.hub, "--vendor", f"{vendor}.pub", *init)

    @property
    def package(self) -> Path:
        return self.folder / "billing.cap"

    def enrol(self, *options: object) -> None:
        """Install the billing applet, and enrol the customer."""
        enrolment = self.folder / "enrolment.json"
        enrolment.unlink(missing_ok=True)
        done(
            "applet", "install", "--hub", self.hub, self.package, "--yes",
            "--recipient", self.utility / "public.pem", "--enrolment", enrolment,
        )  # fmt: skip
        done("utility", "enrol", "--utility", self.utility, enrolment, *options)

    def request(
        self,
        address: str,
        tariff: Path = TARIFF,
        *more: object,
        meter: str = METER,
        month: str = "2025-03",
    ) -> tuple[object, ...]:
        return (
            "utility", "request", "bill", "--utility", self.utility, "--meter", meter,
            "--month", month, "--tariff", tariff, "--hub", address, *more,
        )  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the hub; its address is yielded."""
        with serving_hub(self.hub) as address:
            yield address
