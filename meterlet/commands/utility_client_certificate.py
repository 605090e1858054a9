# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility client-certificate`: certificates with which systems ask the service."""

from pathlib import Path
from typing import Any, Final

import rich_click as click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from hub.text import printable
from meterlet.commands.common import (
    PRESENT_FILE,
    Shown,
    json_or_text,
    one_line_errors,
    output_option,
    utility_option,
)
from meterlet.commands.tariff_files import require_place, write_new
from meterlet.commands.utility_access import now_of, opened_on_record, role_option
from meterlet.commands.utility_wake import authority_of
from utility_server.errors import AccessProblem
from utility_server.retail.utility import Utility
from utility_server.service.access.client_certificates import (
    LARGEST,
    ClientCertificate,
    ClientCertificates,
    read_certificate,
    require_key,
)
from utility_server.service.access.roles import parse_roles
from utility_server.service.words import utc_text

DAYS: Final = 365


def _certificates(utility: Utility) -> ClientCertificates:
    return ClientCertificates(utility.engine, now_of)


@click.group("client-certificate")
def client_certificate() -> None:
    """Certificates with which systems ask the service, in the place of keys."""


@client_certificate.command("issue")
@utility_option
@click.argument("name", help="What the system is, as people call it.")
@click.argument("request", type=PRESENT_FILE, help="Its request: PKCS #10, in PEM.")
@role_option
@click.option(
    "--days", type=click.IntRange(1, 3650), default=DAYS, show_default=True,
    help="How long it counts.",
)  # fmt: skip
@output_option("A new file for the certificate (PEM).")
@json_or_text("meterlet.utility.client-certificate/1")
def issue(
    folder: Path, name: str, request: Path, roles: tuple[str, ...], days: int, output: Path
) -> Shown:
    """Issue a certificate to the system NAME, by the utility's own authority.

    The REQUEST shows that the system has the key. Nothing else of it is taken over.
    """
    data = _read(request)
    system = printable(name[:64], "?")
    with opened_on_record(folder, "issue_client_certificate", f"system={system}") as utility:
        key = _key_requested(data)
        require_place(output)
        certificate = authority_of(utility).issue_to_system(name, key, days)
        made = _certificates(utility).register(name, parse_roles(roles), certificate)
        write_new(output, certificate.public_bytes(Encoding.PEM), 0o644)
    lines = f"issued {made.fingerprint} until {utc_text(made.expires)}: {output}"
    return {**_facts(made), "file": str(output)}, lines


@client_certificate.command("register")
@utility_option
@click.argument("name", help="What the system is, as people call it.")
@click.argument("certificate", type=PRESENT_FILE, help="Its certificate (PEM), by any issuer.")
@role_option
@json_or_text("meterlet.utility.client-certificate/1")
def register(folder: Path, name: str, certificate: Path, roles: tuple[str, ...]) -> Shown:
    """Let the system NAME ask with a CERTIFICATE that it has, until that ends.

    This certificate alone counts, by its fingerprint: no other one of its issuer.
    """
    with one_line_errors():
        found = read_certificate(_read(certificate))
    target = f"fingerprint={found.fingerprint(SHA256()).hex()}"
    with opened_on_record(folder, "register_client_certificate", target) as utility:
        made = _certificates(utility).register(name, parse_roles(roles), found)
    return _facts(made), f"registered {made.fingerprint} until {utc_text(made.expires)}"


@client_certificate.command("list")
@utility_option
@json_or_text("meterlet.utility.client-certificates/1")
def list_all(folder: Path) -> Shown:
    """List the certificates of systems: their roles, and until when they count."""
    with opened_on_record(folder) as utility:
        now = now_of()
        found = [(one, one.holds(now)) for one in _certificates(utility).all()]
    lines = [
        f"{one.fingerprint}  {' '.join(sorted(one.roles)):24} {one.name}, until"
        f" {utc_text(one.expires)}" + ("" if holds else "; counts no more")
        for one, holds in found
    ]
    facts = [{**_facts(one), "counts": holds} for one, holds in found]
    return {"certificates": facts}, lines or "no system has a certificate"


@client_certificate.command("withdraw")
@utility_option
@click.argument("fingerprint", help="Its SHA-256 in hex; `... client-certificate list` shows it.")
@json_or_text("meterlet.utility.client-certificate/1")
def withdraw(folder: Path, fingerprint: str) -> Shown:
    """Let the certificate with this FINGERPRINT count no more, from the next request on."""
    target = f"fingerprint={fingerprint[:64]}"
    with opened_on_record(folder, "withdraw_client_certificate", target) as utility:
        withdrawn = _certificates(utility).withdraw(fingerprint.lower().replace(":", ""))
    return _facts(withdrawn), f"withdrew {withdrawn.fingerprint}"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _key_requested(data: bytes) -> Any:
    """Return the key in a request, whose holder has signed it; raise `AccessProblem` otherwise."""
    try:
        if len(data) > LARGEST:
            raise ValueError
        request = x509.load_pem_x509_csr(data)
        key = request.public_key()
        require_key(key)
        if not request.is_signature_valid:
            raise AccessProblem("the request is not signed with its key")
    except (ValueError, UnsupportedAlgorithm):
        raise AccessProblem("not a request for a certificate (PKCS #10, PEM)") from None
    return key


def _facts(one: ClientCertificate) -> dict[str, Any]:
    return {
        "fingerprint": one.fingerprint,
        "name": one.name,
        "roles": sorted(one.roles),
        "registered": utc_text(one.registered),
        "expires": utc_text(one.expires),
        "withdrawn": utc_text(one.withdrawn) if one.withdrawn else None,
    }
