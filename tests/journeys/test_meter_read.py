# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter read` asks a meter over TCP, in the clear and under keys."""

import asyncio
import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.responder import AccessOfClient
from dlms_codec.server import logical_device, serve
from meterlet.commands.main import main
from tests.support.dlms_world import CLIENT_TITLE, KEYS, METER_TITLE, PUBLIC, SECURE, World, pair
from tests.support.waiting import PATIENCE


@contextmanager
def meter(*, hdlc: bool = False) -> Iterator[tuple[int, AccessOfClient]]:
    """A meter with a public client, and one that has keys."""
    access, _ = pair(World(), Mechanism.GMAC)
    public = AccessOfClient(World().table())
    loop, ports, stop = asyncio.new_event_loop(), list[int](), threading.Event()

    async def run() -> None:
        device = logical_device(METER_TITLE, {PUBLIC: public, SECURE: access}, longest=1024)
        async with await serve({1: device}, "127.0.0.1", 0, hdlc=hdlc) as server:
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    ready = threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(PATIENCE)
    yield ports[0], access
    stop.set()
    thread.join()
    loop.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["meter", "read", *map(str, arguments)])


def values(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["values"]
    return found


def secret(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_public_client_reads_objects_and_values() -> None:
    with meter() as (port, _):
        listed = values(run(f"dlms://127.0.0.1:{port}", "--json"))
        assert {"obis": "1-0:1.8.0*255", "class": 3, "version": 0} in listed
        energy, clock, missing = values(
            run(f"dlms://127.0.0.1:{port}", "1-0:1.8.0", "0-0:1.0.0", "3/1-0:9.9.9", "--json")
        )
        assert (energy["value"], energy["scaler"], energy["unit"]) == (4408736, 0, "Wh")
        assert clock["value"] == "2026-01-01T00:00:00"
        assert (missing["value"], "error" in missing) == (None, True)
        nothing = run(f"dlms://127.0.0.1:{port}", "3/1-0:9.9.9", "3/1-0:9.9.8", "--json")
        assert (nothing.exit_code, len(json.loads(nothing.stdout)["values"])) == (1, 2)
        text = run(f"dlms://127.0.0.1:{port}", "1-0:1.8.0")
        assert text.stdout == "1-0:1.8.0        4408736 Wh  energy drawn\n"
        [profile] = values(run(f"dlms://127.0.0.1:{port}", "1-0:99.1.0", "--rows", "2-3", "--json"))
        assert [row[-1] for row in profile["rows"]] == [1007, 1014]
        assert len(profile["columns"]) == 3


def test_it_reads_over_hdlc() -> None:
    with meter(hdlc=True) as (port, _):
        [energy] = values(run(f"hdlc://127.0.0.1:{port}", "1-0:1.8.0", "--json"))
        assert energy["value"] == 4408736


def test_with_keys_each_number_is_used_once(tmp_path: Path) -> None:
    assert KEYS.encryption is not None
    assert KEYS.authentication is not None
    keys = [
        "--mechanism", "gmac", "--client", SECURE, "--system-title", CLIENT_TITLE.hex(),
        "--key", secret(tmp_path, "guek", KEYS.encryption.hex()),
        "--auth-key", secret(tmp_path, "gak", KEYS.authentication.hex()),
    ]  # fmt: skip
    counter = tmp_path / "counter"
    with meter() as (port, access):
        source = f"dlms://127.0.0.1:{port}"
        seen = []
        for _ in range(3):
            done = run(source, "1-0:1.8.0", *keys, "--counter", counter, "--json")
            assert values(done)[0]["value"] == 4408736
            assert KEYS.encryption.hex() not in done.output
            seen.append(access.guards.highest)
            assert int(counter.read_text()) > access.guards.highest
        assert seen == sorted(set(seen))
        assert counter.stat().st_mode & 0o777 == 0o600
        wrong = secret(tmp_path, "guek", "00" * 16)
        refused = run(source, "1-0:1.8.0", *keys, "--counter", counter)
        assert (refused.exit_code, len(refused.stderr.splitlines()), wrong.exists()) == (1, 1, True)


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    key = secret(tmp_path, "key", "00" * 16)
    assert run("dlms://127.0.0.1:1", "1-0:1.8.0").exit_code == 1
    for arguments in (
        ["ftp://127.0.0.1"],
        ["dlms://127.0.0.1"],
        ["dlms://127.0.0.1:1", "energy"],
        ["dlms://127.0.0.1:1", "--rows", "5-1"],
        ["dlms://127.0.0.1:1", "--key", key],
        ["dlms://127.0.0.1:1", "--counter", key],
    ):
        assert run(*arguments).exit_code == 2, arguments
    counter = secret(tmp_path, "counter", "none")
    keyed = ["--key", key, "--system-title", CLIENT_TITLE.hex(), "--counter", counter]
    assert "not the number" in run("dlms://127.0.0.1:1", *keyed).stderr
    with (tmp_path / ".counter.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another command uses it" in run("dlms://127.0.0.1:1", *keyed).stderr
    counter.write_text("7")
    counter.chmod(0o644)
    assert "0600" in run("dlms://127.0.0.1:1", *keyed).stderr
    assert "no such" not in run("/dev/no-such-line", "1-0:1.8.0").stdout
