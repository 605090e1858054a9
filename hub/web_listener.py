# SPDX-License-Identifier: Apache-2.0
"""TLS of servers of web pages."""

import ssl
from pathlib import Path

from hub.vault.secret_file import SecretFileError


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
