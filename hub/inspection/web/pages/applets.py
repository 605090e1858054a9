# SPDX-License-Identifier: Apache-2.0
"""The page Applets: who signed what, what it may do and did; installing, locking, removing.

Changes go through the card, as any card manager's do. The file that the applet's recipient needs
holds the channel's keys: it stays in the hub's folder until the resident has handed it over.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.responses import Response

from hub.device import Device
from hub.disclosure import ConsentTerms, count_refusals
from hub.inspection.errors import InspectionError
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.card_work import Change, carry_out, enrolment_path
from hub.inspection.web.forms import BadInput
from hub.inspection.web.installed import (
    Vendor,
    find_applet,
    installed_applets,
    read_package,
    vendors_of,
)
from hub.inspection.web.jobs import Tick
from hub.inspection.web.page_request import Page, PageRequest, download
from hub.inspection.web.pages.work import begin_job
from hub.machine.bundle import Bundle
from hub.vault.secret_file import read_secret

LARGEST_KEY: Final = 4096


@dataclass(frozen=True, slots=True)
class OfferedPackage:
    """A package that was read and may be installed."""

    content: bytes
    recipient: bytes
    bundle: Bundle
    vendor: Vendor
    asked: tuple[ConsentTerms, ...]


def show_applets(request: PageRequest) -> Response:
    """Show what is installed, and the form for more."""
    with request.device() as device:
        applets = installed_applets(device)
        return request.page(
            "applets.html",
            applets=applets,
            touched={applet.aid: _touched(device, applet.aid) for applet in applets},
            vendors=[vendor for vendor, _ in vendors_of(device)],
            waiting={
                applet.aid.hex()
                for applet in applets
                if enrolment_path(device.folder, applet.aid).exists()
            },
        )


def offer_package(request: PageRequest) -> Response:
    """Read a package and show what it asks for; nothing is changed."""
    content, pem = request.files.get("package", b""), request.files.get("recipient", b"")
    if not content:
        raise BadInput(request.words.t("applets.no_package"))
    key = _public_key(pem)
    if key is None:
        raise BadInput(request.words.t("applets.no_recipient"))
    with request.device() as device:
        bundle, vendor, asked = read_package(device, content)
        aids = {applet.aid for applet in installed_applets(device)}
    if bundle.manifest.aid in aids:
        raise InspectionError(f"applet {bundle.manifest.aid.hex().upper()} is installed already")
    request.resident.offer = OfferedPackage(
        content, key.public_bytes_raw(), bundle, vendor, tuple(asked)
    )
    return request.page("offer.html", offer=request.resident.offer)


def install(request: PageRequest) -> Response:
    """Install the package that was shown, with the consents that were shown."""
    offer = request.resident.offer
    if (
        not isinstance(offer, OfferedPackage)
        or request.fields.get("digest") != offer.bundle.digest.hex()
    ):
        raise BadInput(request.words.t("applets.offer_gone"))
    request.resident.offer = None
    settings = request.parts.settings
    aid = offer.bundle.manifest.aid
    change = Change(
        settings.folder, settings.open_machine, "install", aid, offer.content, offer.recipient
    )

    def work(tick: Tick) -> str:
        carry_out(change, tick)
        request.record("applet installed", applet=aid.hex(), vendor=offer.vendor.name)
        return aid.hex()

    return begin_job(request, "install", "/applets", "installed.html", work)


def hand_over(request: PageRequest) -> Response:
    """Return the file that an applet's recipient needs."""
    aid = _applet(request)
    content = read_secret(enrolment_path(request.parts.settings.folder, aid))
    request.record("enrolment handed over", applet=aid.hex())
    return download(f"{aid.hex()}.enrolment", content)


def forget_enrolment(request: PageRequest) -> Response:
    """Destroy the file once the recipient has it."""
    enrolment_path(request.parts.settings.folder, _applet(request)).unlink(missing_ok=True)
    return request.see("/applets")


def show_removal(request: PageRequest) -> Response:
    """Ask before an applet is removed."""
    with request.device() as device:
        applet = find_applet(device, request.http.path_params["aid"])
        return request.page("removal.html", applet=applet)


def lock(request: PageRequest) -> Response:
    """Lock an applet: it answers nobody."""
    return _manage(request, "lock", "applet locked")


def unlock(request: PageRequest) -> Response:
    """Let an applet answer again."""
    return _manage(request, "unlock", "applet unlocked")


def remove(request: PageRequest) -> Response:
    """Remove an applet, all it kept, and its consents."""
    return _manage(request, "remove", "applet removed")


def _manage(request: PageRequest, what: str, event: str) -> Response:
    settings, aid = request.parts.settings, _applet(request)
    carry_out(Change(settings.folder, settings.open_machine, what, aid), lambda done, total: None)
    request.record(event, applet=aid.hex())
    return request.see("/applets")


def _touched(device: Device, aid: bytes) -> dict[str, int]:
    """Return what an applet has done so far: how often, and the bytes of its messages."""
    log = device.disclosure.log
    own = {
        kind: [entry for entry in log.entries(kind) if entry.facts.get("applet") == aid]
        for kind in ("release", "refusal", "message", "output")
    }
    return {
        "releases": len(own["release"]),
        "refusals": count_refusals(own["refusal"]),
        "messages": len(own["message"]),
        "sent": sum(entry.facts["size"] for entry in own["message"]),
        "outputs": len(own["output"]),
    }


def _applet(request: PageRequest) -> bytes:
    with request.device() as device:
        return find_applet(device, request.http.path_params["aid"]).aid


def _public_key(pem: bytes) -> Ed25519PublicKey | None:
    try:
        key = load_pem_public_key(pem[:LARGEST_KEY])
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


PAGES: Final = (
    Page("/applets", show_applets, ResidentRole.READER),
    Page("/applets/package", offer_package, ResidentRole.OWNER, "POST"),
    Page("/applets/install", install, ResidentRole.OWNER, "POST"),
    Page("/applets/{aid}/remove", show_removal, ResidentRole.OWNER),
    Page("/applets/{aid}/remove", remove, ResidentRole.OWNER, "POST"),
    Page("/applets/{aid}/lock", lock, ResidentRole.OWNER, "POST"),
    Page("/applets/{aid}/unlock", unlock, ResidentRole.OWNER, "POST"),
    Page("/applets/{aid}/enrolment", hand_over, ResidentRole.OWNER, "POST"),
    Page("/applets/{aid}/enrolment/forget", forget_enrolment, ResidentRole.OWNER, "POST"),
)
