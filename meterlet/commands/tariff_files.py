# SPDX-License-Identifier: Apache-2.0
"""Tariff files as all commands read and write them, and what can be wrong with them.

A tariff file is its TOML source, its canonical document, or a signed document; they are told
apart by their first byte.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from errno import EINVAL
from pathlib import Path, PurePosixPath
from typing import Any, Final

import rich_click as click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.meters.replay import ReplayError
from meterlet.commands.common import Exit, KeyFileProblem, public_key
from tariffs import SignatureRefused, Tariff, TariffError, split_signed_tariff
from tariffs.signing import verify_signed_tariff
from tariffs.source import load_toml

__all__ = [
    "PROBLEMS",
    "LoadedTariff",
    "errors_at",
    "load_tariff",
    "problem",
    "read_bytes",
    "write_new",
]

SIGNED_BYTE: Final = 0xD2
PROBLEMS: Final = (TariffError, ReplayError, KeyFileProblem, OSError)


def problem(error: Exception, place: Path) -> tuple[str, Exit]:
    """Return the one line and the exit code for an error met while working on `place`."""
    if isinstance(error, OSError):
        return f"{error.filename or place}: {error.strerror or error}", Exit.FAILURE
    code = Exit.REFUTED if isinstance(error, SignatureRefused) else Exit.FAILURE
    if isinstance(error, TariffError) and error.source is None:
        return f"{place}: {error}", code
    return str(error), code


@contextmanager
def errors_at(place: Path) -> Iterator[None]:
    """Turn the errors of files, keys and tariffs into one line and an exit code."""
    try:
        yield
    except PROBLEMS as error:
        message, code = problem(error, place)
        click.echo(f"meterlet: {message}", err=True)
        raise SystemExit(int(code)) from None


@dataclass(frozen=True, slots=True)
class LoadedTariff:
    """A tariff and what is known of its signature."""

    tariff: Tariff
    signature: str
    """`none`, `verified` or `not checked`."""
    key_id: str | None = None

    def heading(self) -> dict[str, Any]:
        """Return what every JSON output says of a tariff."""
        tariff = self.tariff
        return {
            "name": tariff.name,
            "revision": tariff.revision,
            "currency": tariff.currency,
            "zone": tariff.zone,
            "valid_from": str(tariff.valid_from),
            "valid_until": str(tariff.valid_until),
            "digest": tariff.digest.hex(),
            "signature": self.signature,
            "key_id": self.key_id,
        }

    def summary(self) -> str:
        """Return the same in a line."""
        tariff = self.tariff
        last = tariff.valid_until - timedelta(days=1)
        signature = {"none": "not signed", "not checked": "signature not checked (give --key)"}
        return (
            f"{tariff.name} revision {tariff.revision}, {tariff.valid_from} to {last} in"
            f" {tariff.zone}, {signature.get(self.signature, self.signature)},"
            f" digest {tariff.digest.hex()[:16]}"
        )


def load_tariff(path: Path, key: Path | None = None) -> LoadedTariff:
    """Return the tariff in a file; with `key`, only if it is signed by that key.

    Raises `TariffError` naming the file, and its line where it is a source.
    """
    try:
        return _load(path, path.read_bytes(), None if key is None else public_key(key))
    except TariffError as error:
        error.source = error.source or str(path)
        raise


def _load(path: Path, data: bytes, key: Ed25519PublicKey | None) -> LoadedTariff:
    if data[:1] == bytes([SIGNED_BYTE]):
        parts = split_signed_tariff(data)
        key_id = parts.key_id.hex()
        if key is None:
            return LoadedTariff(Tariff.decode(parts.payload), "not checked", key_id)
        return LoadedTariff(verify_signed_tariff(data, key), "verified", key_id)
    if key is not None:
        raise SignatureRefused("the tariff is not signed")
    if data[:1] and data[0] >> 5 == 5:  # a CBOR map
        return LoadedTariff(Tariff.decode(data), "none")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise TariffError("neither UTF-8 text nor a tariff document") from None
    return LoadedTariff(load_toml(text, source=str(path), files=_beside(path)), "none")


class _Beside:
    """Reads the files that a source refers to: those in its own folder or below."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str) -> str:
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise PermissionError(1, "is not in the tariff's own folder", name)
        try:
            return read_bytes(self._folder / inside).decode()
        except UnicodeDecodeError:
            raise OSError(EINVAL, "not UTF-8 text", name) from None


def _beside(path: Path) -> _Beside:
    return _Beside(path.parent)


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unpacked if it is packed with gzip."""
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error) as error:
        raise OSError(5, f"not gzip: {error}", str(path)) from None


def write_new(path: Path, data: bytes, mode: int) -> None:
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
