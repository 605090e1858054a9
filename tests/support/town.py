# SPDX-License-Identifier: Apache-2.0
"""A home with a hub and its supplier, each command in a process of its own."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
        vendor, package = self.folder / "vendor.key", self.package
        done("tariff", "keygen", "--out", vendor)
        done("applet", "build", ROOT / "applets" / "billing", "--key", vendor, "-o", package)
        done("utility", "init", self.utility)
        done("hub", "init", self.hub, "--serial", 1, "--vendor", f"{vendor}.pub", *init)
        done("hub", "ingest", "--hub", self.hub, *source)
        self.enrol()

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

    def request(self, address: str, tariff: Path = TARIFF, *more: object) -> tuple[object, ...]:
        return (
            "utility", "request", "bill", "--utility", self.utility, "--meter", METER,
            "--month", "2025-03", "--tariff", tariff, "--hub", address, *more,
        )  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve the hub; its address is yielded."""
        with serving_hub(self.hub) as address:
            yield address
