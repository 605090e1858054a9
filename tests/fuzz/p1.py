# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the decoders of P1 and Current Cost with atheris for a bounded time.

    python -m tests.fuzz.p1 -max_total_time=60

Any bytes are refused with the package's own error or reproduced; a stream is decoded the same
however it is cut; what comes out can be told as values and as JSON.
"""

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.meter_captures import captures_of, meter_capture

atheris: Any = import_module("atheris")  # has no types

with atheris.instrument_imports(include=["meter_codecs"]):
    from tests.fuzz.p1_checks import check


def sow(folder: Path) -> None:
    """Fill a folder with the shared captures, if any."""
    for name in captures_of("p1") + captures_of("currentcost"):
        (folder / name.replace("/", "-")).write_bytes(meter_capture(name))


def main() -> None:
    """Run the fuzzer with the arguments of the command line."""
    with TemporaryDirectory() as folder:
        sow(Path(folder))
        atheris.Setup([*sys.argv, folder], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
