# SPDX-License-Identifier: Apache-2.0
"""What single commands do beside the hub's service (`meterlet hub run`).

Most work beside it, as they do beside each other: the database serves one writer after the other.
What cannot be done twice, or not while others hold the hub, is refused in one line.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub.service.control import ask_status
from hub.service.errors import ServiceRunning
from hub.service.lock import holder


def require_no_service(folder: Path, what: str) -> None:
    """Raise `ServiceRunning` where the hub's service runs."""
    process = holder(folder)
    if process is not None:
        raise ServiceRunning(f"the hub's service runs (process {process}): end it, then {what}")


def require_free_line(folder: Path, address: str) -> None:
    """Raise `ServiceRunning` where the service reads at this address: a line has one reader."""
    for status, part in _parts(folder, "source"):
        if _line(part["facts"].get("address", "")) == _line(address):
            raise ServiceRunning(
                f"the hub's service (process {status['process']}) reads that line already, as"
                f" {part['name']}; `meterlet hub status` shows what came"
            )


def require_free_place(folder: Path, kind: str, host: str, port: int) -> None:
    """Raise `ServiceRunning` where the service listens there already, for the same."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    for status, part in _parts(folder, kind):
        if place in part["facts"].get("address", "") and port:
            raise ServiceRunning(
                f"the hub's service (process {status['process']}) answers at {place} already; say"
                " another --port to serve beside it"
            )


def require_undialled(folder: Path, name: str) -> None:
    """Raise `ServiceRunning` where the service dials this recipient already."""
    for status, part in _parts(folder, "recipient"):
        if part["name"] == f"recipient {name}":
            raise ServiceRunning(
                f"the hub's service (process {status['process']}) dials {name} already;"
                " `meterlet hub status` shows its sessions"
            )


def _parts(folder: Path, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    status = ask_status(folder) if holder(folder) is not None else None
    if status is None:
        return []
    return [(status, part) for part in status["parts"] if part["kind"] == kind]


def _line(address: str) -> tuple[str, str]:
    """Return what two addresses of one line have in common."""
    parts = urlsplit(address)
    return parts.netloc, parts.path


def service_lines(status: dict[str, Any]) -> list[str]:
    """Return how the service is, in lines for people."""
    lines = [f"process {status['process']} since {status['since']}"]
    for part in status["parts"]:
        line = f"{part['name']} {part['state']} since {part['since']}"
        facts = part["facts"]
        if "address" in facts:
            line += f", {facts['address']}"
        if part["reason"]:
            line += f": {part['reason']}"
        lines.append(line)
        if "code" in facts:
            lines.append(f"  no owner yet: the first is made there with the code {facts['code']}")
    refused = status["configuration"]["refused"]
    if refused is not None:
        lines.append(f"hub.toml was refused at {refused['time']}: {refused['message']}")
    return lines
