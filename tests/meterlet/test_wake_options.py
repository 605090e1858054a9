# SPDX-License-Identifier: Apache-2.0
"""What is said together with `--wake`, and refused otherwise before anything is opened."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meterlet.commands.main import main

WAKE = "--wake", "mqtts://localhost:1"


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 2, done.output
    return " ".join(done.output.replace("│", " ").split())


@pytest.fixture
def broker(tmp_path: Path) -> Path:
    """A folder that looks like a broker's."""
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "broker.key").write_text("")
    return folder


@pytest.mark.parametrize("door", ["gateway", "serve"])
def test_a_broker_s_folder_goes_with_a_broker(door: str, broker: Path, tmp_path: Path) -> None:
    utility = "utility", door, "--utility", tmp_path / "none"
    assert "--broker-files goes with --wake" in refused(*utility, "--broker-files", broker)
    (broker / "broker.key").unlink()
    assert "no broker's folder" in refused(*utility, *WAKE, "--broker-files", broker)


def test_a_concentrator_wakes_whom_it_lets_dial(broker: Path, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "operator.pem").write_bytes(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "hubs.json").write_text("")
    serve = (
        "concentrator", "serve", "--concentrator", tmp_path, "--hubs", tmp_path / "hubs.json",
        "--operator", tmp_path / "operator.pem",
    )  # fmt: skip
    assert "say --gateway-port" in refused(*serve, *WAKE)
    files = "--gateway-port", 0, "--broker-files", broker
    assert "--broker-files goes with --wake" in refused(*serve, *files)
