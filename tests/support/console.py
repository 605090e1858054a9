# SPDX-License-Identifier: Apache-2.0
"""An operator's browser at the console, in this process."""

import re
from html import unescape
from typing import Any, Final

from httpx2 import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.service import ORIGIN, Served
from utility_server.service.api.application import Entrance, create_api
from utility_server.service.console.application import create_console
from utility_server.service.parts import ServiceParts

PASSWORD: Final = "correct horse battery"
OWN: Final = {"Origin": ORIGIN}
"""What a browser says with a form of the console's own pages."""


def service_at_rest(parts: ServiceParts) -> ASGIApp:
    """Return interface and console without the threads of runs: a test works on these itself."""
    api = create_api(parts)
    console = create_console(parts, api)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["type"] != "http" or scope["path"].startswith("/v1/")
        await (api if is_api else console)(scope, receive, send)

    return Entrance(choose, parts)


def form_token(answer: Response, action: str = "") -> str:
    """What the forms of a page carry; `action` names the one that is wanted."""
    _, _, text = answer.text.partition(f'action="{action}"' if action else "<body>")
    found = re.search(r'name="token" value="([0-9a-f]+)"', text)
    assert found is not None
    return found[1]


def come_in(service: Served, name: str = "anna", password: str = PASSWORD, **more: Any) -> Response:
    """Sign in with a password."""
    asked = service.client.get("/sign-in")
    data = {"token": form_token(asked, "/sign-in"), "name": name, "password": password, **more}
    return service.client.post("/sign-in", data=data, headers=OWN)


def send(service: Served, path: str, page: str, **fields: str) -> Response:
    """Send a form of a page."""
    token = form_token(service.client.get(page))
    return service.client.post(path, data={"token": token, **fields}, headers=OWN)


def refusal(answer: Response) -> str:
    """Why a form was refused, as its page says."""
    found = re.search(r'role="alert" id="refused">([^<]*)<', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])
