# SPDX-License-Identifier: Apache-2.0
"""Tariffs in files: TOML source, canonical document or signed document, told apart by a byte."""

from pathlib import Path
from typing import Final

from tariffs import Tariff, TariffError, split_signed_tariff
from tariffs.source import load_toml

__all__ = ["load_tariff"]

SIGNED: Final = 0xD2
"""COSE_Sign1's tag."""
MAP: Final = 5
"""CBOR's major type of a canonical document."""


def load_tariff(path: Path) -> Tariff:
    """Return the tariff in a file; a signature on it is not checked.

    Raises `TariffError` naming the file, and its line where it is a source.
    """
    data = path.read_bytes()
    try:
        if data[:1] == bytes([SIGNED]):
            return Tariff.decode(split_signed_tariff(data).payload)
        if data and data[0] >> 5 == MAP:
            return Tariff.decode(data)
    except TariffError as error:
        raise TariffError(str(error), source=str(path)) from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise TariffError("neither UTF-8 text nor a tariff document", source=str(path)) from None
    return load_toml(text, source=str(path))
