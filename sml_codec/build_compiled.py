# SPDX-License-Identifier: Apache-2.0
"""Compiles the package with mypyc: the same source, about twice as fast.

    python -m sml_codec.build_compiled FOLDER

FOLDER/sml_codec is then the package with extension modules beside its sources, which Python prefers
by itself: put FOLDER first on the path, and everything else stays as it is. Needs mypy and a C
compiler.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

MODULES: Final = (
    "_layouts",
    "_make",
    "_plans",
    "_schema",
    "codec",
    "elements",
    "files",
    "frames",
    "messages",
    "obis",
    "quirks",
    "stream",
    "transport",
)
"""What is compiled: all that runs for each message."""


def build(folder: Path) -> Path:
    """Copy the package into `folder` and compile it there; return where it is.

    Raises `subprocess.CalledProcessError` where the compiler fails; its output says why.
    """
    package = folder / "sml_codec"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(Path(__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    sources = [str(Path("sml_codec") / f"{module}.py") for module in MODULES]
    subprocess.run([sys.executable, "-m", "mypyc", *sources], cwd=folder, check=True)  # noqa: S603
    shutil.rmtree(folder / "build", ignore_errors=True)
    return package


def main() -> None:
    """Build where the command line says."""
    parser = argparse.ArgumentParser(description="Compile sml_codec with mypyc.")
    parser.add_argument("folder", type=Path, help="where the compiled package goes")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    print(build(folder.resolve()))  # noqa: T201


if __name__ == "__main__":
    main()
