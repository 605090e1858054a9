# SPDX-License-Identifier: Apache-2.0
"""Systems ask the service with certificates, issued or registered by command; hubs beside them."""

import http.client
import json
import os
import ssl
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from meterlet.commands.utility_wake import authority_of
from protocols.hub_certificates import make_signing_request
from protocols.remote_admin.http import AgentPost
from tests.support.client_certificates import Identity, Line, identity, signing_request, written
from tests.support.command import serving
from tests.support.service import new_utility
from tests.support.town import METER, done, refused
from tests.support.waiting import PATIENCE, wait_until
from utility_server.retail.utility import Utility

pytestmark = pytest.mark.process


def hub_identity(utility: Path, folder: Path) -> Identity:
    with Utility.open(utility) as opened:
        key = generate_private_key(SECP256R1())
        meter = bytes.fromhex(METER)
        made = authority_of(opened).renew(make_signing_request(meter, key), meter)
    return written(folder, x509.load_der_x509_certificate(made.certificate), key)


def post_at_hubs_door(port: int, trust: Path, shown: Identity) -> int:
    context = ssl.create_default_context(cafile=str(trust))
    context.load_cert_chain(*shown.files)
    opened = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    with closing(opened) as line:
        post = AgentPost(f"/gp/{METER}?step=0", METER)
        headers = {name.decode(): value.decode() for name, value in post.headers()}
        line.request("POST", post.uri, headers=headers)
        return line.getresponse().status


def test_each_certificate_opens_its_own_door_and_counts_until_it_is_withdrawn(
    tmp_path: Path,
) -> None:
    utility = new_utility(tmp_path / "utility")
    where = "--utility", utility
    with Utility.open(utility) as opened:
        authority = authority_of(opened)
        files = authority.server_files(["localhost"])
        trust = authority.certificate_file
    key = generate_private_key(SECP256R1())
    request, certificate = tmp_path / "bank.csr", tmp_path / "bank.pem"
    request.write_bytes(signing_request(key))
    verb = "utility", "client-certificate"
    told = json.loads(
        done(*verb, "issue", "bank", request, *where, "--role", "auditor", "-o", certificate,
             "--json")
    )  # fmt: skip
    bank = written(tmp_path / "bank", x509.load_pem_x509_certificate(certificate.read_bytes()), key)
    own = identity(tmp_path / "own", "mdms")
    hub = hub_identity(utility, tmp_path / "hub")
    tls = "--tls-cert", files[0], "--tls-key", files[1]
    ports = "--port", 0, "--hubs-port", 0, "--name", "localhost"
    with serving("utility", "serve", *where, *ports, *tls, "--client-certificates") as where_it_is:
        port = urlsplit(where_it_is["address"]).port
        hubs_port = int(where_it_is["hubs"].rpartition(":")[2])
        assert port is not None

        def status_of(one: Identity) -> int:
            with closing(Line(port, trust, one)) as line:
                try:
                    return line.ask("GET", "/v1/me")[0]
                except OSError:
                    return 0

        assert status_of(bank) == 200
        assert status_of(hub) == 0  # TLS refuses
        assert post_at_hubs_door(hubs_port, trust, hub) == 204
        assert post_at_hubs_door(hubs_port, trust, bank) == 403
        with pytest.raises(OSError):
            post_at_hubs_door(hubs_port, trust, own)
        # Registered while the service runs, by its own issuer.
        assert status_of(own) == 0
        done(*verb, "register", "mdms", own.files[0], *where, "--role", "grid")
        wait_until(lambda: status_of(own) == 200, "the certificate in TLS")
        with closing(Line(port, trust, bank)) as line:
            assert line.ask("GET", "/v1/audit")[0] == 200
            done(*verb, "withdraw", told["fingerprint"], *where)
            assert line.ask("GET", "/v1/audit")[0] == 401
    listed = json.loads(done(*verb, "list", *where, "--json"))["certificates"]
    assert [(one["name"], one["counts"]) for one in listed] == [("bank", False), ("mdms", True)]
    assert "counts no more" in done(*verb, "list", *where)
    audit = json.loads(done("utility", "audit", *where, "--json"))["entries"]
    assert ("operator:command", "withdraw_client_certificate", "done") in [
        (one["who"], one["action"], one["outcome"]) for one in audit
    ]


def test_what_is_no_certificate_or_request_is_refused_in_a_line(tmp_path: Path) -> None:
    utility = new_utility(tmp_path / "utility")
    where = "--utility", utility, "--role", "grid"
    verb = "utility", "client-certificate"
    junk, request, output = tmp_path / "junk", tmp_path / "request", tmp_path / "out"
    junk.write_bytes(os.urandom(100))
    forged = bytearray(signing_request(generate_private_key(SECP256R1())))
    request.write_bytes(forged)
    for arguments in (
        ("register", "x", junk, *where),
        ("register", "x", request, *where),
        ("issue", "x", junk, *where, "-o", output),
        ("issue", " \n", request, *where, "-o", output),
        ("withdraw", "0" * 64, "--utility", utility),
    ):
        assert refused(*verb, *arguments)[0] == 1
        assert not output.exists()
    done(*verb, "issue", "x", request, *where, "-o", output)
    assert "exists already" in refused(*verb, "issue", "x", request, *where, "-o", output)[1]
    assert "needs TLS" in refused("utility", "serve", *where[:2], "--client-certificates")[1]
