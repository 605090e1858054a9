# SPDX-License-Identifier: Apache-2.0
"""The example of the manual, as it stands there."""

import asyncio
import io
import re
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute
from dlms_codec.authentication import Credentials
from dlms_codec.client import connect
from dlms_codec.client_settings import ClientSettings
from dlms_codec.errors import ObjectUndefined
from dlms_codec.numbers import UInt32
from dlms_codec.obis import Obis
from dlms_codec.objects import ObjectTable, register
from dlms_codec.responder import AccessOfClient
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.security import Keys
from dlms_codec.selecting import Entries
from dlms_codec.server import logical_device, serve
from tests.support.command import ROOT
from tests.support.dlms_world import KEYS
from tests.support.meter_captures import meter_capture, needs_meter_captures


@needs_meter_captures
def test_the_example_of_the_manual_prints_readings(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs/dlms.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "capture.bin").write_bytes(meter_capture("dlms/aidon_sweden_push"))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", example[1]],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "1-0:1.7.0*255 1122 W\n" in result.stdout


def example_of(heading: str) -> str:
    text = (ROOT / "docs/dlms.md").read_text().split(f"## {heading}\n")[1]
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return textwrap.indent(found[1], "    ")


def test_the_client_of_the_manual_reads_the_server_of_the_manual() -> None:
    names: dict[str, object] = {
        "guek": KEYS.encryption, "gak": KEYS.authentication, "first_counter": 1,
        "write_down": lambda _: None, "Credentials": Credentials, "Mechanism": Mechanism,
        "Keys": Keys, "UInt32": UInt32, "Attribute": Attribute, "Obis": Obis, "Entries": Entries,
        "ClientSettings": ClientSettings, "SendCounter": SendCounter, "connect": connect,
        "AccessOfClient": AccessOfClient, "ObjectTable": ObjectTable, "register": register,
        "logical_device": logical_device, "serve": serve,
    }  # fmt: skip
    being_asked = example_of("Being asked").replace('"::", 4059', '"127.0.0.1", 0')
    asking = example_of("Asking a meter").replace('"192.0.2.7", 4059', '"127.0.0.1", port')
    source = (
        f"async def main():\n{being_asked}"
        "    port = server.sockets[0].getsockname()[1]\n"
        f"    async with server:\n{textwrap.indent(asking, '    ')}"
    )
    with pytest.raises(ObjectUndefined, match="1-0:99"), redirect_stdout(io.StringIO()) as printed:
        exec(source, names)
        asyncio.run(names["main"]())  # type: ignore[operator]
    assert printed.getvalue() == "4408736\n"  # and this server has no profile
