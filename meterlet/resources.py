# SPDX-License-Identifier: Apache-2.0
"""Files that come with Meterlet, in a wheel as in a clone: applets' sources and examples."""

from importlib.resources import files
from pathlib import Path
from typing import Final


def _folder(package: str) -> Path:
    return Path(str(files(package)))


def _examples() -> Path:
    installed = _folder("meterlet") / "examples"  # pyproject.toml puts them there in a wheel
    return installed if installed.is_dir() else _folder("meterlet").parent / "examples"


APPLETS: Final = _folder("applets")
"""The folders of Meterlet's own applets, with their manifests."""
SOURCES: Final = APPLETS.parent
"""Where the packages are that an applet's manifest includes."""
EXAMPLES: Final = _examples()
"""Tariffs, readings and scripts to start from."""
