# SPDX-License-Identifier: Apache-2.0
"""The page of systems' certificates, which count in the place of keys."""

from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from utility_server.service.access.roles import Role
from utility_server.service.console.inside import InsideAnswer
from utility_server.service.console.visit import ConsolePage, Visit

WITHDRAWS: Final = (
    "From its next request on the system that has it is let in no more, on open connections, too."
    " It cannot be taken back, and the same certificate cannot be registered again."
)


async def certificates(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """List the certificates of systems."""
    known = await visit.inside.get("/v1/client-certificates")
    return visit.page("certificates.html", refused=refused, certificates=known, now=visit.now_text)


async def register(visit: Visit) -> Response:
    """Let a system ask with a certificate that it has."""
    body: dict[str, Any] = {
        "name": visit.fields.get("name", ""),
        "roles": [str(role) for role in Role if visit.fields.get(f"role-{role}")],
        "certificate": visit.fields.get("certificate", "").replace("\r\n", "\n"),
    }
    answer = await visit.inside.ask("POST", "/v1/client-certificates", body)
    if not answer.is_fine:
        if "PRIVATE KEY" in body["certificate"]:  # what should never have come is not shown again
            visit = replace(visit, fields={**visit.fields, "certificate": ""})
        return await certificates(visit, answer)
    return visit.see("/certificates", "certificate-registered")


async def withdraw(visit: Visit) -> Response:
    """Let a certificate count no more."""
    fingerprint = visit.http.path_params["fingerprint"]
    if not visit.is_sure:
        known = await visit.inside.get("/v1/client-certificates")
        names = [one["name"] for one in known if one["fingerprint"] == fingerprint]
        title = f"Withdraw the certificate of {names[0] if names else fingerprint[:16]}"
        return visit.ask_first(title, WITHDRAWS, "/certificates")
    answer = await visit.inside.ask("POST", f"/v1/client-certificates/{fingerprint}/withdrawal")
    if not answer.is_fine:
        return visit.problem(answer, "/certificates")
    return visit.see("/certificates", "certificate-withdrawn")


PAGES: Final = (
    ConsolePage("/certificates", certificates, (Role.ADMIN, Role.AUDITOR)),
    ConsolePage("/certificates", register, (Role.ADMIN,), "POST"),
    ConsolePage("/certificates/{fingerprint}/withdrawal", withdraw, (Role.ADMIN,), "POST"),
)
