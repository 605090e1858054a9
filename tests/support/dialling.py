# SPDX-License-Identifier: Apache-2.0
"""A town whose hub dials: its certificate, the gateway, and sessions."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from applets.billing.messages import AID
from hub.device import Device
from hub.inspection.views.documents import supplier_documents
from tests.support.command import environment, serving
from tests.support.quick_program import program
from tests.support.town import METER, TARIFF, Town, done


def certify(town: Town, *options: object) -> Path:
    """Give the town's hub a certificate; return its file."""
    request, certificate = town.folder / "hub.request", town.folder / "hub.pem"
    for file in (request, certificate):
        file.unlink(missing_ok=True)
    done("hub", "dial-key", "--hub", town.hub, "-o", request)
    done("utility", "certify-hub", "--utility", town.utility, request, "-o", certificate, *options)
    done("hub", "dial-certificate", "--hub", town.hub, certificate)
    return certificate


def ask(town: Town, month: str = "2025-03") -> None:
    """Keep a question for a bill, until the hub dials."""
    done(
        "utility", "request", "bill", "--utility", town.utility, "--meter", METER,
        "--month", month, "--tariff", TARIFF, "--dialled",
    )  # fmt: skip


@contextmanager
def gateway(town: Town, *options: object, said: list[str] | None = None) -> Iterator[str]:
    """Serve the town's gateway; yield its address. `said` gets the lines of its log."""
    command = "utility", "gateway", "--utility", town.utility, "--port", 0, *options
    with serving(*command, said=said) as where:
        yield f"https://localhost:{where['port']}"


def dial_once(town: Town, url: str) -> tuple[int, list[dict[str, Any]], str]:
    """Let the hub hold one session; return its exit code, events and what it complained of."""
    command = [*program(), "hub", "dial", "--hub", str(town.hub), url, "--once", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr


def states(town: Town) -> list[str]:
    """Return how far what waits has come."""
    told = json.loads(done("utility", "status", "--utility", town.utility, "--json"))
    return [one["state"] for one in told["waiting"]]


def bills(town: Town) -> list[int]:
    """Return the numbers of the bills in the ledger."""
    told = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    return [entry["number"] for entry in told["entries"] if entry["kind"] == "bill"]


def shown_to_the_resident(town: Town) -> list[int]:
    """Return the numbers of the invoices that the hub shows."""
    with Device.open(town.hub) as device:
        return [one.number for one in supplier_documents(device, AID).invoices]
