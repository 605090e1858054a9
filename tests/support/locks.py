# SPDX-License-Identifier: Apache-2.0
"""Another process that holds a database's write lock."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN " + sys.argv[3])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
connection.close()
"""


@contextmanager
def held(path: Path, seconds: float = 600, mode: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the lock of the SQLite database at `path` for so long, the block at most."""
    command = [sys.executable, "-c", HOLD, str(path), str(seconds), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield
        finally:
            holder.kill()
