# SPDX-License-Identifier: Apache-2.0
"""Regions to test with: made up, or the sum of the 60 London homes."""

import csv
import gzip
import math
import os
import random
import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.metrology import Period
from tests.support.shared import LONDON, require_shared
from utility_server.grid.mdms.aggregates import Aggregate, AggregateSpan
from utility_server.grid.mdms.store import AggregateStore
from utility_server.grid.mdms.workspace import Mdms

BERLIN = "Europe/Berlin"


def london_homes(first: date, last: date) -> list[list[int]]:
    """Return each home's use of each half hour in Wh, which the file has exactly; 0 if missing."""
    begin, end = (datetime.fromtimestamp(time, UTC) for time in Period(first, last).bounds("UTC"))
    rows = []
    with gzip.open(require_shared(LONDON), "rt", newline="") as text:
        lines = csv.reader(text)
        next(lines)
        for start, *cells in lines:
            if begin <= datetime.fromisoformat(start).replace(tzinfo=UTC) < end:
                rows.append([int(1000 * Decimal(cell or "0")) for cell in cells])
    return [list(column) for column in zip(*rows, strict=True)]


def london_sums() -> list[int]:
    """Return the 60 homes' use of each half hour of 2013, in Wh."""
    homes = london_homes(date(2013, 1, 1), date(2013, 12, 31))
    return [sum(uses) for uses in zip(*homes, strict=True)]


def aggregate(
    first: date,
    days: int,
    *,
    region: str = "North",
    minutes: int = 30,
    zone: str = BERLIN,
    sums: list[int] | None = None,
    homes: int = 60,
    bits: int = 14,
    seed: int = 1,
) -> Aggregate:
    """Return an aggregate of made-up sums with a day's and a week's rhythm, or of given ones."""
    begin, end = Period(first, first + timedelta(days=days - 1)).bounds(zone)
    if sums is None:
        dice = random.Random(seed)
        count = (end - begin) // (60 * minutes)
        sums = []
        for number in range(count):
            hour = (begin + 60 * minutes * number) % 86_400 / 3600
            weekend = 1.15 if (begin // 86_400 + number * minutes // 1440) % 7 in (2, 3) else 1.0
            level = 9000 - 4000 * math.cos((hour - 4) * math.pi / 12)
            sums.append(round(level * weekend * dice.uniform(0.93, 1.07)))
    place = AggregateSpan(region, minutes, begin, end)
    return Aggregate(place, zone, tuple(sums), homes, 0, bits, seed.to_bytes(16, "big"))


@cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of an empty store: its RSA key takes a while to find."""
    folder = tempfile.TemporaryDirectory(prefix="meterlet-store-")
    AggregateStore.create(
        Path(folder.name) / "mdms.db", Path(folder.name) / "keys", os.urandom
    ).close()
    return folder


def new_store(folder: Path) -> AggregateStore:
    shutil.copytree(_template().name, folder, dirs_exist_ok=True)
    return opened(folder)


def opened(folder: Path) -> AggregateStore:
    return AggregateStore.open(folder / "mdms.db", folder / "keys", os.urandom)


@cache
def _mdms_template() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="meterlet-mdms-")
    Mdms.create(Path(folder.name) / "mdms").close()
    return folder


def new_mdms(folder: Path, *authorities: Ed25519PublicKey) -> Mdms:
    """Return an MDMS that trusts these authorities; its keys are those of all tests."""
    shutil.copytree(Path(_mdms_template().name) / "mdms", folder)
    for number, key in enumerate(authorities):
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "authorities" / f"{number}.pem").write_bytes(pem)
    return Mdms.open(folder)
