# SPDX-License-Identifier: Apache-2.0
"""No text that somebody else wrote ends a program: whoever reads it refuses it, in his own words.

Deep nesting, numbers of thousands of digits and odd encodings come out of the parsers as other
errors than a fault of syntax. A program that catches the latter alone is ended by the former.
"""

import ast
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from hub.machine.errors import ManifestError
from hub.machine.library import LibraryManifest, means_library
from hub.machine.manifest import Manifest
from hub.service.configuration import ServiceSettings
from hub.service.control import SOCKET, ask_status
from hub.service.errors import ConfigurationRefused, ServiceError
from protocols.canonical.foreign_text import (
    DEEPEST,
    ForeignTextRefused,
    read_json,
    read_toml,
    read_xml,
)
from protocols.enrolment import Enrolment, EnrolmentError
from tariffs import MalformedTariff
from tariffs.ar2418 import read_meter_series
from tariffs.importers._writing import read_json as read_import
from tariffs.source import load_toml
from tests.support.waiting import PATIENCE
from utility_server.errors import AccessProblem, ServiceRefused, StoreError
from utility_server.grid.concentrator.errors import ConcentratorError
from utility_server.grid.concentrator.hubs import read_hubs
from utility_server.retail.limits import FILE as LIMITS
from utility_server.retail.limits import BillLimits
from utility_server.service.access.settings import FILE as SERVICE
from utility_server.service.access.settings import read_settings
from utility_server.service.einvoice.parties import SELLER_FILE, Seller

ROOT: Final = Path(__file__).parents[2]
TOML: Final = (
    "a = " + "[" * 20_000 + "]" * 20_000,
    "a = " + "{a=" * 5_000 + "1" + "}" * 5_000,
    "a = " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    ".".join("a" * 300) + " = 1",
    "[" + ".".join("a" * 300) + "]",
    "a = " + "9" * 10_000,
    "a = 0x" + "f" * 17,
    "a = 99-99-99",
    "a = 2025-02-31",
    "a = \0",
    "\ufeffa = 1",
)
JSON: Final = (
    "[" * 100_000,
    "[" * 20_000 + "]" * 20_000,
    '{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1),
    "9" * 10_000,
    '{"a": -' + "9" * 10_000 + "}",
    "\ufeff{}",
    "",
)
XML: Final = (
    b'<?xml version="1.0" encoding="utf-7"?><a/>',
    b'<?xml version="1.0" encoding="rot13"?><a/>',
    b'<?xml version="1.0" encoding="shift_jis"?><a/>',
    b"<a>" * 20_000 + b"</a>" * 20_000,
    b"<!DOCTYPE a><a/>",
    b"<a>",
    b"",
)


@pytest.mark.parametrize("number", range(len(TOML)))
def test_no_toml_file_ends_who_reads_it(number: int, tmp_path: Path) -> None:
    text = TOML[number]
    for name in (SERVICE, SELLER_FILE, LIMITS, "manifest.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    refusals: list[tuple[type[Exception], Callable[[], Any]]] = [
        (ForeignTextRefused, lambda: read_toml(text)),
        (ConfigurationRefused, lambda: ServiceSettings.parse(text, tmp_path)),
        (ManifestError, lambda: Manifest.from_toml(text)),
        (ManifestError, lambda: LibraryManifest.from_toml(text)),
        (MalformedTariff, lambda: load_toml(text)),
        (AccessProblem, lambda: read_settings(tmp_path)),
        (ServiceRefused, lambda: Seller.read(tmp_path)),
        (StoreError, lambda: BillLimits.read(tmp_path)),
    ]
    for error, read in refusals:
        with pytest.raises(error):
            read()
    assert not means_library(tmp_path)


@pytest.mark.parametrize("number", range(len(JSON)))
def test_no_json_file_ends_who_reads_it(number: int, tmp_path: Path) -> None:
    text = JSON[number]
    path = tmp_path / "hubs.json"
    path.write_text(text, encoding="utf-8")
    refusals: list[tuple[type[Exception], Callable[[], Any]]] = [
        (ForeignTextRefused, lambda: read_json(text)),
        (ConcentratorError, lambda: read_hubs(path)),
        (EnrolmentError, lambda: Enrolment.decode(text.encode())),
        (MalformedTariff, lambda: read_import(text)),
    ]
    for error, read in refusals:
        with pytest.raises(error):
            read()
    refuse_answer(tmp_path, text.encode()[:60_000] + b"\n")


def refuse_answer(folder: Path, line: bytes) -> None:
    """Ask a hub's service that answers so; whoever asks is told that it is none."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen(1)

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1 << 12)
                peer.sendall(line)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with pytest.raises(ServiceError):
                ask_status(folder)
        finally:
            thread.join(PATIENCE)


@pytest.mark.parametrize("number", range(len(XML)))
def test_no_xml_file_ends_who_reads_it(number: int) -> None:
    data = XML[number]
    with pytest.raises(ForeignTextRefused):
        read_xml(data)
    with pytest.raises(MalformedTariff):
        list(read_meter_series(data))


OWN: Final = {
    "applets/profiling/messages.py": "within the applet's machine",
    "applets/profiling/profiles.py": "within the applet's machine",
    "hub/certifier/slots.py": "rows that the hub has sealed itself",
    "hub/disclosure/wording.py": "part of the program",
    "hub/inspection/locales/catalogue.py": "part of the program",
    "meterlet/demo/fleet.py": "between the demonstration's own processes",
    "meterlet/demo/journey.py": "between the demonstration's own processes",
    "meterlet/demo/region.py": "between the demonstration's own processes",
    "meterlet/fleet/run.py": "between the fleet's own processes",
    "protocols/canonical/foreign_text.py": "the one place",
    "tariffs/_toml_lines.py": "a key of a text that was read already",
    "utility_server/fleet/rollouts.py": "a column that the utility has written itself",
    "utility_server/stack/whole.py": "what the stack's own parts print",
    "utility_server/service/console/inside.py": "what this process has just answered itself",
}
PARSERS: Final = {
    ("tomllib", "load"), ("tomllib", "loads"), ("json", "load"), ("json", "loads"),
    ("ElementTree", "fromstring"), ("ElementTree", "parse"), ("ElementTree", "XML"),
    ("cbor2", "load"), ("cbor2", "loads"),
}  # fmt: skip
ROWS: Final = "protocols/canonical/stored.py"
"""Rows of databases of our own, with every error of its parser caught there."""


def test_foreign_texts_are_read_in_one_place() -> None:
    found = set()
    for package in ("applets", "hub", "meterlet", "protocols", "tariffs", "utility_server"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Attribute(value=ast.Name(id=module), attr=name) if (
                        module,
                        name,
                    ) in PARSERS:
                        found.add(str(path.relative_to(ROOT)))
                    case ast.ImportFrom(module="tomllib" | "json" | "cbor2", names=names):
                        assert not {one.name for one in names} & {"load", "loads"}, path
    assert found == {*OWN, ROWS}
