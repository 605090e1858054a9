# SPDX-License-Identifier: Apache-2.0
"""A utility, its broker with Mosquitto, and the certificates of hubs that are woken there."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.dialling.recipient import Recipient, ServerAddress
from meterlet.commands.main import main
from meterlet.commands.utility_wake import authority_of
from protocols.hub_certificates import make_signing_request
from tests.support.broker import RunningBroker, client_context, running
from tests.support.sockets import free_port
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.retail.utility import Utility

METER: Final = bytes.fromhex("0a014d544c0000000001")
NEIGHBOUR: Final = bytes.fromhex("0a014d544c0000000002")


@dataclass
class World:
    """A utility, its broker, and the certificates of two hubs."""

    folder: Path
    authority: CertificateAuthority
    broker: RunningBroker

    def recipient(self, meter: bytes) -> Recipient:
        folder = self.folder / meter.hex()
        files = folder / "client.pem", folder / "client.key", folder / "trust.pem"
        return Recipient(ServerAddress("localhost", 443), *files)

    def context(self, meter: bytes) -> ssl.SSLContext:
        one = self.recipient(meter)
        return client_context(one.certificate, one.key, one.trust)

    def gateway(self) -> ssl.SSLContext:
        return client_context(*self.authority.waker_files(), self.authority.certificate_file)


def write_identity(folder: Path, authority: CertificateAuthority, meter: bytes) -> None:
    key = generate_private_key(SECP256R1())
    made = authority.renew(make_signing_request(meter, key), meter)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    folder.mkdir()
    (folder / "client.key").write_bytes(pem)
    (folder / "client.pem").write_bytes(authority.bundle(made))
    (folder / "trust.pem").write_bytes(authority.certificate_file.read_bytes())


@contextmanager
def open_world(folder: Path) -> Iterator[World]:
    """Make it in an empty folder, with two hubs, and run the broker."""
    Utility.create(folder / "utility").close()
    port = free_port()
    arguments = ["--utility", folder / "utility", "--to", folder / "broker", "--port", port]
    done = CliRunner().invoke(main, ["utility", "broker-files", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    with Utility.open(folder / "utility") as utility, running(folder / "broker", port) as broker:
        authority = authority_of(utility)
        for meter in (METER, NEIGHBOUR):
            write_identity(folder / meter.hex(), authority, meter)
        yield World(folder, authority, broker)
