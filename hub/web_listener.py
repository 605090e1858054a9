# SPDX-License-Identifier: Apache-2.0
"""What servers of web pages share: where they listen, TLS, and how they end."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from pathlib import Path

import uvicorn

from hub.vault.secret_file import SecretFileError


class QuietServer(uvicorn.Server):
    """Leaves the signals to us: ended by one, it ends well; uvicorn's own would raise it again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing about signals."""
        yield


def listen(host: str, port: int, connections: int) -> socket.socket:
    """Return a listening socket; raise `OSError`, naming the address, if it is not free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        number = error.errno if isinstance(error, OSError) else None
        is_name = isinstance(error, socket.gaierror) or number is None
        reason = "no host can have that name" if is_name else os.strerror(number or EINVAL)
        raise OSError(number or EINVAL, reason, f"{host}:{port}") from None
    listener.listen(connections)
    return listener


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what serves over TLS; raise `SecretFileError` for files that are not fit for it."""
    if key.stat().st_mode & 0o077:
        raise SecretFileError(f"{key}: others may read it; its mode must be 0600")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError):
        raise SecretFileError(f"{certificate}, {key}: not a certificate and its key") from None
    return context
