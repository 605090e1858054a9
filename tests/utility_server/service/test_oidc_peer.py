# SPDX-License-Identifier: Apache-2.0
"""Signing in at an identity provider that others wrote: oidc-provider-mock, which is Authlib's."""

import re
import warnings
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.service import ORIGIN, new_utility, served
from utility_server.service.application import create_service

SETTINGS = """
[oidc]
issuer = "{issuer}"
audience = "meterlet-utility"
client_id = "{client}"
client_secret_file = "keys/oidc.secret"
roles_claim = "groups"

[oidc.roles]
clerks = ["billing"]
"""


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.mark.filterwarnings("ignore")  # of the provider's libraries, which run in this process
def test_staff_sign_in_at_a_provider_that_others_wrote(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True):  # Authlib's own, about itself
        oidc_provider_mock = import_module("oidc_provider_mock")
    people = [
        oidc_provider_mock.User(sub="carla", claims={"groups": ["clerks", "others"]}),
        oidc_provider_mock.User(sub="dieter", claims={"groups": ["others"]}),
    ]
    provider = oidc_provider_mock.run_server_in_thread(
        user_claims=people, require_nonce=True, require_client_registration=True
    )
    with provider as server, httpx2.Client(trust_env=False) as browser:
        issuer = f"http://localhost:{server.server_port}"
        wanted = {"redirect_uris": [f"{ORIGIN}/sign-in/back"]}
        known = browser.post(f"{issuer}/oauth2/clients", json=wanted).json()
        folder = new_utility(tmp_path / "utility")
        secret = folder / "keys" / "oidc.secret"
        secret.touch(0o600)
        secret.write_text(known["client_secret"])
        settings = SETTINGS.format(issuer=issuer, client=known["client_id"])
        (folder / "service.toml").write_text(settings)
        with served(folder, app=create_service) as service:

            def sign_in(who: str) -> int:
                """Go the way of a browser: to the provider, through its form, and back."""
                sent = service.client.get("/sign-in/provider").headers["location"]
                assert re.search("code_challenge=[^&]{43}&code_challenge_method=S256", sent)
                answer = browser.post(sent, data={"sub": who})
                assert answer.status_code == 302
                back = urlsplit(answer.headers["location"])
                assert f"{back.scheme}://{back.netloc}" == ORIGIN
                return service.client.get(f"{back.path}?{back.query}").status_code

            assert sign_in("dieter") == 403, "he has no role here"
            assert sign_in("carla") == 200
            assert "carla (billing)" in service.client.get("/tariffs").text
