# SPDX-License-Identifier: Apache-2.0
"""Servers' commands end soon after a signal, and say soon what they cannot reach."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from meterlet.commands.main import main
from tests.support.command import ROOT, environment
from tests.support.quick_program import program
from tests.support.service import new_utility
from tests.support.waiting import PATIENCE
from utility_server.locations import URL_FILE

STUCK = """
import threading
from meterlet.commands.ending import ending
with ending() as watched:
    watched.say_last(lambda: print("stopped"))
    print("waits", flush=True)
    {work}
print("done")
"""
WAITING = "threading.Lock().acquire() and threading.Event().wait()"
COMPUTING = """
    import time
    watched.stopping.wait()
    while time.process_time() < 1.5:
        pass
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], env={"NO_COLOR": "1"})


@pytest.fixture(scope="module")
def utility(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_utility(tmp_path_factory.mktemp("ending") / "utility")


@pytest.fixture
def unreached(utility: Path, tmp_path: Path) -> Path:
    """Return a utility whose database's server is not there."""
    copy = tmp_path / "utility"
    shutil.copytree(utility, copy)
    (copy / "utility.db").unlink()
    (copy / URL_FILE).write_text("postgresql://meterlet@127.0.0.1:1/meterlet\n")
    return copy


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Yield a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "work", "last"),
    [
        (signal.SIGTERM, WAITING, "stopped"),
        (signal.SIGINT, WAITING, "stopped"),
        (signal.SIGTERM, COMPUTING.strip(), "done"),
    ],
    ids=["waits-15", "waits-2", "computes"],
)
def test_what_waits_for_ever_is_ended_and_what_computes_finishes(
    number: signal.Signals, work: str, last: str
) -> None:
    command = [sys.executable, "-c", STUCK.format(work=work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as stuck:
        assert stuck.stdout is not None
        assert stuck.stdout.readline() == "waits\n"
        stuck.send_signal(number)
        rest, _ = stuck.communicate(timeout=PATIENCE)
    assert (stuck.returncode, rest) == (0, f"{last}\n")


@pytest.mark.process
@pytest.mark.parametrize("verb", ["worker", "gateway", "serve"])
def test_a_server_that_never_answers_keeps_no_command_from_ending(
    utility: Path, silent: socket.socket, verb: str
) -> None:
    place = f"nats://127.0.0.1:{silent.getsockname()[1]}"
    ports = {"worker": [], "gateway": ["--port", "0"], "serve": ["--port", "0", "--no-hubs"]}
    command = [*program(), "utility", verb, "--utility", str(utility), "--nats", place]
    with subprocess.Popen(
        [*command, *ports[verb]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(),
    ) as waiting:  # fmt: skip
        line, _ = silent.accept()
        waiting.send_signal(signal.SIGTERM)
        output, errors = waiting.communicate(timeout=PATIENCE)
        line.close()
    assert (waiting.returncode, errors) == (0, "")
    assert output.splitlines()[-1:] == (["stopped"] if verb == "worker" else [])


@pytest.mark.parametrize("verb", ["worker --once", "gateway --port 0", "serve --port 0 --no-hubs"])
def test_a_queue_that_is_not_there_or_has_no_such_url_is_one_line(utility: Path, verb: str) -> None:
    where = "utility", *verb.split(), "--utility", utility
    gone = run(*where, "--nats", "nats://127.0.0.1:1")
    assert gone.exit_code == 1
    assert gone.stderr == (
        "meterlet: NATS at 127.0.0.1:1 is not reached: Connection refused; is nats-server"
        " running?\n"
    )
    for url in ("http://127.0.0.1:4222", "127.0.0.1:4222", "nats://", "nats://a:b/", "nats://a/b"):
        wrong = run(*where, "--nats", url)
        assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
        assert "nats://HOST:PORT" in wrong.stderr
    secret = run(*where, "--nats", "nats://user:s3cret@127.0.0.1:1")
    assert secret.exit_code == 2
    assert "s3cret" not in secret.stderr


@pytest.mark.parametrize("verb", ["worker --once", "gateway --port 0", "serve --port 0 --no-hubs"])
def test_a_database_that_is_not_there_is_one_line(unreached: Path, verb: str) -> None:
    gone = run("utility", *verb.split(), "--utility", unreached)
    assert (gone.exit_code, gone.stdout, gone.stderr.count("\n")) == (1, "", 1)
    assert "not reached" in gone.stderr


def test_a_refusal_as_json_says_of_which_kind_it_is(utility: Path) -> None:
    gone = run(
        "utility", "worker", "--once", "--json", "--utility", utility, "--nats", "nats://[::1]:1"
    )
    assert json.loads(gone.stderr)["kind"] == "queue-unreachable"


def test_a_certificate_or_key_that_cannot_be_used_is_named(utility: Path, tmp_path: Path) -> None:
    def key_file(name: str, password: bytes | None = None) -> Path:
        file = tmp_path / name
        how = NoEncryption() if password is None else BestAvailableEncryption(password)
        key = generate_private_key(SECP256R1())
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
        file.chmod(0o600)
        return file

    def refused(certificate: Path, key: Path) -> str:
        tls = "--certificate", certificate, "--key", key
        done = run("utility", "gateway", "--utility", utility, "--port", 0, *tls)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert done.exit_code in (1, 2)
        assert "_ssl" not in done.stderr
        return str(done.stderr)

    certificate, other = utility / "ca.pem", key_file("other.key")
    if not certificate.exists():
        from meterlet.commands.utility_wake import authority_of
        from utility_server.retail.utility import Utility

        with Utility.open(utility) as opened:
            authority_of(opened).open()
    assert str(tmp_path / "none.pem") in refused(tmp_path / "none.pem", other)
    assert f"{other}: no certificate" in refused(other, other)
    assert f"{certificate}, {other}: the key is not" in refused(certificate, other)
    locked = key_file("locked.key", b"secret")
    assert f"{locked}: the key has a password" in refused(certificate, locked)
    text = tmp_path / "text.key"
    text.write_text("no key")
    assert f"{text}: no private key" in refused(certificate, text)
