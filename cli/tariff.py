# SPDX-License-Identifier: Apache-2.0
"""`meterlet tariff`: check, show, sign tariffs, and price readings with them.

A tariff file is its TOML source, its canonical document, or a signed document; they are told
apart by their first byte. A signed document is verified when `--key` gives the public key.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import rich_click as click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cli._tariff_views import print_bill, print_tariff
from hub.meters.replay import CsvReplay, EnergyUnit, ReplayError, parse_interval, parse_zone
from hub.readings import Reading, ReadingFlag
from tariffs import (
    SignatureRefused,
    Tariff,
    TariffError,
    compute_bill,
    split_signed_tariff,
)
from tariffs.clock import Clock, day_number
from tariffs.signing import sign_tariff, verify_signed_tariff
from tariffs.source import load_toml

__all__ = ["tariff"]

FAILURE: Final = 1
VERIFICATION_FAILED: Final = 3
SIGNED_BYTE: Final = 0xD2
KEY_ID_SIZE: Final = 8
MISSING_SHOWN: Final = 10
DAY: Final = click.DateTime(["%Y-%m-%d"])
UNITS: Final = {unit.value: unit for unit in EnergyUnit}

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
key_option = click.option(
    "--key",
    "public_key",
    type=click.Path(path_type=Path),
    help="Public key (PEM) that a signed tariff must verify under.",
)


class _KeyError(Exception):
    """A file is not the key it should be."""


PROBLEMS: Final = (TariffError, ReplayError, _KeyError, OSError)


def _problem(error: Exception, place: Path) -> tuple[str, int]:
    """Return the one line and the exit code for an error met while working on `place`."""
    if isinstance(error, OSError):
        return f"{error.filename or place}: {error.strerror}", FAILURE
    if isinstance(error, TariffError) and error.source is None:
        code = VERIFICATION_FAILED if isinstance(error, SignatureRefused) else FAILURE
        return f"{place}: {error}", code
    return str(error), FAILURE


@contextmanager
def _errors(place: Path) -> Iterator[None]:
    try:
        yield
    except PROBLEMS as error:
        message, code = _problem(error, place)
        click.echo(f"meterlet: {message}", err=True)
        raise SystemExit(code) from None


def _print_json(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


# Files


@dataclass(frozen=True, slots=True)
class _Loaded:
    tariff: Tariff
    signature: str
    """`none`, `verified` or `not checked`."""
    key_id: str | None = None


def _load(path: Path, public_key: Path | None = None) -> _Loaded:
    data = path.read_bytes()
    if data[:1] == bytes([SIGNED_BYTE]):
        parts = split_signed_tariff(data)
        key_id = parts.key_id.hex()
        if public_key is None:
            return _Loaded(Tariff.decode(parts.payload), "not checked", key_id)
        return _Loaded(verify_signed_tariff(data, _public_key(public_key)), "verified", key_id)
    if public_key is not None:
        raise SignatureRefused("the tariff is not signed")
    if data[:1] and data[0] >> 5 == 5:  # a CBOR map
        return _Loaded(Tariff.decode(data), "none")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise TariffError("neither UTF-8 text nor a tariff document") from None
    return _Loaded(load_toml(text, source=str(path)), "none")


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise _KeyError(f"{path}: not an Ed25519 public key in PEM")
    return key


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise _KeyError(f"{path}: not an Ed25519 private key in PEM without a password")
    return key


def _key_id(key: Ed25519PublicKey) -> bytes:
    return sha256(key.public_bytes_raw()).digest()[:KEY_ID_SIZE]


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that does not exist yet, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(handle, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # fails where the file exists
    finally:
        partial.unlink()


def _heading(found: _Loaded) -> dict[str, Any]:
    tariff = found.tariff
    return {
        "name": tariff.name,
        "revision": tariff.revision,
        "currency": tariff.currency,
        "zone": tariff.zone,
        "valid_from": str(tariff.valid_from),
        "valid_until": str(tariff.valid_until),
        "digest": tariff.digest.hex(),
        "signature": found.signature,
        "key_id": found.key_id,
    }


def _summary(found: _Loaded) -> str:
    tariff = found.tariff
    last = tariff.valid_until - timedelta(days=1)
    signature = {"none": "not signed", "not checked": "signature not checked (give --key)"}
    return (
        f"{tariff.name} revision {tariff.revision}, {tariff.valid_from} to {last} in"
        f" {tariff.zone}, {signature.get(found.signature, found.signature)},"
        f" digest {tariff.digest.hex()[:16]}"
    )


# Commands


@click.group()
def tariff() -> None:
    """Check, show, sign and apply tariffs."""


@tariff.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@key_option
@json_option
@click.pass_context
def check(
    context: click.Context, files: tuple[Path, ...], public_key: Path | None, as_json: bool
) -> None:
    """Check tariff FILES: sources, documents or signed documents.

    Every file is checked; the exit code is that of the worst: 0 all are fine, 1 one is not a
    tariff, 3 a signature is wrong.
    """
    results: list[dict[str, Any]] = []
    worst = 0
    for path in files:
        try:
            found = _load(path, public_key)
        except PROBLEMS as error:
            message, code = _problem(error, path)
            worst = max(worst, code)
            click.echo(f"meterlet: {message}", err=True)
            results.append({"file": str(path), "ok": False, "error": message})
            continue
        results.append({"file": str(path), "ok": True, **_heading(found)})
        if not as_json:
            click.echo(f"{path}: ok: {_summary(found)}")
    if as_json:
        _print_json({"schema": "meterlet.tariff.check/1", "files": results})
    context.exit(worst)


@tariff.command()
@click.argument("file", type=click.Path(path_type=Path))
@key_option
@json_option
def show(file: Path, public_key: Path | None, as_json: bool) -> None:
    """Show what the tariff FILE charges."""
    with _errors(file):
        found = _load(file, public_key)
    if as_json:
        document = found.tariff.canonical()
        _print_json({"schema": "meterlet.tariff.show/1", **_heading(found), "document": document})
        return
    print_tariff(found.tariff, _summary(found))


@tariff.command()
@click.argument("tariff_file", metavar="TARIFF", type=click.Path(path_type=Path))
@click.argument("readings", type=click.Path(path_type=Path))
@click.option("--column", required=True, help="Column of READINGS that holds the energy.")
@click.option("--unit", type=click.Choice(list(UNITS)), default="kWh", show_default=True)
@click.option("--interval", default="15min", show_default=True, help="30min, 1h, 300s ...")
@click.option("--zone", default="UTC", show_default=True, help="Clock of READINGS (IANA name).")
@click.option("--from", "first", type=DAY, help="First day of the period, in the tariff's zone.")
@click.option("--until", type=DAY, help="The day before which the period ends.")
@key_option
@json_option
def price(
    tariff_file: Path,
    readings: Path,
    column: str,
    unit: str,
    interval: str,
    zone: str,
    first: datetime | None,
    until: datetime | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Bill the CSV file READINGS under TARIFF, exactly.

    READINGS has a header; its first column holds the start of each interval. Without --from and
    --until the bill is for all of it. Slots without a reading are listed, not guessed.
    """
    with _errors(tariff_file):
        tariff = _load(tariff_file, public_key).tariff
        clock = Clock(tariff.zone)
        begin, end = (
            clock.day_begin(day_number(day.date())) if day else None for day in (first, until)
        )
        if begin is not None and end is not None and end <= begin:
            raise click.UsageError("--until must be after --from")
    with _errors(readings):
        seconds = parse_interval(interval)
        replay = CsvReplay(readings, column, UNITS[unit], seconds, parse_zone(zone))
        use = _slot_use(replay, begin, end)
        if not use:
            raise ReplayError(f"{readings}: no readings in the period")
        bill = compute_bill(tariff, list(use), seconds, list(use.values()), begin=begin, end=end)
    if as_json:
        _print_json({"schema": "meterlet.tariff.price/1", **bill.as_json()})
    else:
        print_bill(bill, tariff)
    if bill.missing_slots:
        click.echo(
            f"meterlet: {len(bill.missing_slots)} slots have no reading and are not billed",
            err=True,
        )


def _slot_use(replay: CsvReplay, begin: int | None, end: int | None) -> dict[int, int]:
    """Return the watt-hours of each interval that has a reading at both its ends."""
    use: dict[int, int] = {}
    before: Reading | None = None
    for reading in replay.readings(begin, end):
        if before is not None and not reading.flags & ReadingFlag.RESUMED:
            use[before.time] = reading.register_wh - before.register_wh
        before = reading
    return use


@tariff.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "key",
    required=True,
    type=click.Path(path_type=Path),
    help="Private key (PEM) of `meterlet tariff keygen`.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to create.")
@click.option("--dry-run", is_flag=True, help="Do all but write.")
@json_option
def sign(file: Path, key: Path, out: Path, dry_run: bool, as_json: bool) -> None:
    """Compile the tariff FILE and sign it: COSE_Sign1 with Ed25519."""
    with _errors(file):
        private_key = _private_key(key)
        found = _load(file)
        key_id = _key_id(private_key.public_key())
        document = sign_tariff(found.tariff, private_key, key_id)
    with _errors(out):
        if not dry_run:
            _write_new(out, document, 0o644)
    if as_json:
        heading = {**_heading(found), "signature": "verified", "key_id": key_id.hex()}
        result = {"schema": "meterlet.tariff.sign/1", **heading, "bytes": len(document)}
        _print_json({**result, "file": None if dry_run else str(out)})
    else:
        done = "would write" if dry_run else "wrote"
        click.echo(f"{done} {out}: {found.tariff.name}, {len(document)} bytes, key {key_id.hex()}")


@tariff.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Private key to create (mode 0600); the public one gets the suffix .pub.",
)
@json_option
def keygen(out: Path, as_json: bool) -> None:
    """Create a key pair for signing tariffs; existing files are left alone."""
    private_key = Ed25519PrivateKey.generate()
    public_key = private_key.public_key()
    public = out.with_name(f"{out.name}.pub")
    with _errors(out):
        if public.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(public))
        pem = private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_new(out, pem, 0o600)
        pem = public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write_new(public, pem, 0o644)
    key_id = _key_id(public_key).hex()
    if as_json:
        files = {"private_key": str(out), "public_key": str(public)}
        _print_json({"schema": "meterlet.tariff.keygen/1", **files, "key_id": key_id})
    else:
        click.echo(f"wrote {out} (keep it secret) and {public}, key {key_id}")
