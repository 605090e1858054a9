# SPDX-License-Identifier: Apache-2.0
"""Which extra of the distribution brings which library, and what to do where one is missing.

The base decodes, prices and verifies. A role (`hub`, `utility`, `pages`) or a part that a role may
lack brings further libraries. Code imports them as if they were there: what is missing is said
once, at the command's edge, by `missing_extra`.
"""

from collections.abc import Iterator
from typing import Final

ROLES: Final = {
    "applet": "hub",
    "authority": "utility",
    "concentrator": "utility",
    "demo": "demo",
    "fleet": "demo",
    "hub": "hub",
    "inspect": "hub",
    "mdms": "utility",
    "trustee": "utility",
    "utility": "utility",
}
"""The extra without which a command cannot even be imported."""

EXTRAS: Final = {
    "Crypto": "utility",
    "aiomqtt": "mqtt",
    "anyio": "pages",
    "argon2": "pages",
    "babel": "pages",
    "cbor2": "hub",
    "componentize_py": "hub",
    "drafthorse": "einvoice",
    "fastapi": "api",
    "flint": "hub",
    "h11": "hub",
    "holidays": "tariffs",
    "httpx2": "api",
    "jinja2": "pages",
    "joserfc": "api",
    "msgspec": "hub",
    "nats": "scale",
    "numpy": "demo",
    "oemof": "simulation",
    "opendp": "dp",
    "paho": "mqtt",
    "phe": "utility",
    "prometheus_client": "api",
    "pydantic": "api",
    "psycopg": "postgresql",
    "ray": "ray",
    "reportlab": "einvoice",
    "serial": "serial",
    "sqlalchemy": "utility",
    "starlette": "pages",
    "statsmodels": "forecast",
    "textual": "tui",
    "uvicorn": "pages",
    "wasmtime": "hub",
}
"""The extra that brings a library, by the name it is imported under."""


def needs_extra(extra: str) -> str:
    """Return the line that says what to install.

    It holds for a wheel as for a clone: pip adds the extra to the Meterlet that is installed.
    """
    return f"this needs the {extra} extra: pip install 'meterlet[{extra}]'"


def missing_extra(error: BaseException) -> str | None:
    """Return the extra whose library is missing, where that is why `error` was raised."""
    for cause in _causes(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name is not None:
            return EXTRAS.get(cause.name.partition(".")[0])
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
