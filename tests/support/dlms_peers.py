# SPDX-License-Identifier: Apache-2.0
"""Peers that speak DLMS, each in a process and an environment of its own (`make peers`).

METERLET_PEERS names another interpreter that has gurux-dlms and dlms-cosem.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import ROOT
from tests.support.waiting import PATIENCE

PYTHON: Final = Path(os.environ.get("METERLET_PEERS") or ROOT / "build/peers/bin/python")
SCRIPTS: Final = Path(__file__).with_name("peers")
needs_peers: Final = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="NOT TESTED against gurux-dlms and dlms-cosem: `make peers` installs them",
)


@contextmanager
def gurux_meter(**options: object) -> Iterator[int]:
    """Run a meter made of gurux-dlms; yield its port."""
    command = [str(PYTHON), str(SCRIPTS / "gurux_server.py"), json.dumps(options)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.kill()


async def run_client(script: str, **options: object) -> dict[str, Any]:
    """Run a client of a peer; return what it read."""
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(SCRIPTS / f"{script}_client.py"),
        json.dumps(options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told
