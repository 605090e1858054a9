# SPDX-License-Identifier: Apache-2.0
"""The page About: versions, keys, checksums, and what is trusted for what."""

import platform
import sqlite3
import ssl
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from starlette.responses import Response

from hub.inspection.views.documents import SUPPLIER_KEY
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.installed import installed_applets, vendors_of
from hub.inspection.web.page_request import Page, PageRequest
from hub.inspection.web.parts import HERE

ROOT: Final = Path(__file__).resolve().parents[4]
PACKAGES: Final = ("hub", "listeners", "protocols", "sml_codec", "tariffs")
LIBRARIES: Final = ("argon2-cffi", "btclib-secp256k1", "cryptography", "starlette", "wasmtime")


def show_about(request: PageRequest) -> Response:
    """Show what the hub is made of and relies on."""
    with request.device() as device:
        documents = [device.documents(aid) for aid in device.document_keepers()]
        return request.page(
            "about.html",
            versions=_versions(),
            programs=_programs(),
            assets=_assets(),
            certifier=device.main.certifier.keys.public_key.public_bytes_raw(),
            vendors=vendors_of(device),
            suppliers=sorted({kept[SUPPLIER_KEY] for kept in documents if SUPPLIER_KEY in kept}),
            applets=installed_applets(device),
            residents=request.parts.residents.all(),
        )


def _versions() -> dict[str, str]:
    versions = {
        "Meterlet": _version("meterlet"),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "OpenSSL": ssl.OPENSSL_VERSION,
    }
    return versions | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "–"


@cache
def _programs() -> dict[str, str]:
    """Return a SHA-256 over each package's files: path, zero byte, length, content, in order."""
    digests = {}
    for package in PACKAGES:
        digest = sha256()
        for path in sorted((ROOT / package).rglob("*.py")):
            content = path.read_bytes()
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
            digest.update(len(content).to_bytes(8, "big") + content)
        digests[package] = digest.hexdigest()
    return digests


@cache
def _assets() -> tuple[tuple[str, str], ...]:
    lines = (HERE / "static" / "vendor" / "SHA256SUMS").read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines]
    return tuple((name, digest) for digest, name in pairs)


PAGES: Final = (Page("/about", show_about, ResidentRole.READER),)
