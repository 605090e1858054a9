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
from hub.disclosure import ConsentTerms
from hub.inspection.errors import InspectionError
from hub.inspection.web.access.residents import Role
from hub.inspection.web.card_work import Change, carry_out, enrolment_path
from hub.inspection.web.errors import BadInput
from hub.inspection.web.installed import Installed, Vendor, installed_applets, vendors_of
from hub.inspection.web.jobs import Tick
from hub.inspection.web.package import read_package
from hub.inspection.web.page_request import Call, Page
from hub.inspection.web.pages.work import begin_job
from hub.machine import Bundle
from hub.vault import read_secret

__all__ = ["PAGES"]

LARGEST_KEY: Final = 4096


@dataclass(frozen=True, slots=True)
class Touched:
    """What an applet has done so far."""

    releases: int
    refusals: int
    messages: int
    sent: int
    """Bytes of its messages."""
    outputs: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A package that was read and may be installed."""

    content: bytes
    recipient: bytes
    bundle: Bundle
    vendor: Vendor
    asked: tuple[ConsentTerms, ...]


def show_applets(call: Call) -> Response:
    """Show what is installed, and the form for more."""
    with call.device() as device:
        applets = installed_applets(device)
        return call.page(
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


def offer_package(call: Call) -> Response:
    """Read a package and show what it asks for; nothing is changed."""
    content, pem = call.files.get("package", b""), call.files.get("recipient", b"")
    if not content:
        raise BadInput(call.words.t("applets.no_package"))
    key = _public_key(pem)
    if key is None:
        raise BadInput(call.words.t("applets.no_recipient"))
    with call.device() as device:
        bundle, vendor, asked = read_package(device, content)
        there = any(one.aid == bundle.manifest.aid for one in installed_applets(device))
    if there:
        raise InspectionError(f"applet {bundle.manifest.aid.hex().upper()} is installed already")
    call.resident.offer = Offer(content, key.public_bytes_raw(), bundle, vendor, tuple(asked))
    return call.page("offer.html", offer=call.resident.offer)


def install(call: Call) -> Response:
    """Install the package that was shown, with the consents that were shown."""
    offer = call.resident.offer
    if not isinstance(offer, Offer) or call.fields.get("digest") != offer.bundle.digest.hex():
        raise BadInput(call.words.t("applets.offer_gone"))
    call.resident.offer = None
    settings, name = call.parts.settings, call.resident.resident.name

    aid = offer.bundle.manifest.aid
    change = Change(
        settings.folder, settings.open_machine, "install", aid, offer.content, offer.recipient
    )

    def work(tick: Tick) -> str:
        carry_out(change, tick)
        facts = {"resident": name, "applet": aid.hex(), "vendor": offer.vendor.name}
        call.parts.incidents.happened("applet installed", facts)
        return aid.hex()

    return begin_job(call, "install", "/applets", "installed.html", work)


def hand_over(call: Call) -> Response:
    """Return the file that an applet's recipient needs."""
    with call.device() as device:
        applet = _applet(call, device).aid
        content = read_secret(enrolment_path(device.folder, applet))
    aid = applet.hex()
    facts = {"resident": call.resident.resident.name, "applet": aid}
    call.parts.incidents.happened("enrolment handed over", facts)
    headers = {"Content-Disposition": f'attachment; filename="{aid}.enrolment"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


def forget_enrolment(call: Call) -> Response:
    """Destroy the file once the recipient has it."""
    with call.device() as device:
        enrolment_path(device.folder, _applet(call, device).aid).unlink(missing_ok=True)
    return call.see("/applets")


def show_removal(call: Call) -> Response:
    """Ask before an applet is removed."""
    with call.device() as device:
        return call.page("removal.html", applet=_applet(call, device))


def lock(call: Call) -> Response:
    """Lock an applet: it answers nobody."""
    return _manage(call, "lock", "applet locked")


def unlock(call: Call) -> Response:
    """Let an applet answer again."""
    return _manage(call, "unlock", "applet unlocked")


def remove(call: Call) -> Response:
    """Remove an applet, all it kept, and its consents."""
    return _manage(call, "remove", "applet removed")


def _manage(call: Call, what: str, event: str) -> Response:
    settings = call.parts.settings
    with call.device() as device:
        aid = _applet(call, device).aid
    carry_out(Change(settings.folder, settings.open_machine, what, aid), lambda done, total: None)
    facts = {"resident": call.resident.resident.name, "applet": aid.hex()}
    call.parts.incidents.happened(event, facts)
    return call.see("/applets")


def _touched(device: Device, aid: bytes) -> Touched:
    log = device.disclosure.log
    own = {
        kind: [entry.facts for entry in log.entries(kind) if entry.facts.get("applet") == aid]
        for kind in ("release", "refusal", "message", "output")
    }
    return Touched(
        len(own["release"]),
        len(own["refusal"]),
        len(own["message"]),
        sum(facts["size"] for facts in own["message"]),
        len(own["output"]),
    )


def _applet(call: Call, device: Device) -> Installed:
    aid = call.request.path_params["aid"]
    for applet in installed_applets(device):
        if applet.aid.hex() == aid:
            return applet
    raise InspectionError(f"there is no applet {aid[:32].upper()}")


def _public_key(pem: bytes) -> Ed25519PublicKey | None:
    try:
        key = load_pem_public_key(pem[:LARGEST_KEY])
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


PAGES: Final = (
    Page("/applets", show_applets, Role.READER),
    Page("/applets/package", offer_package, Role.OWNER, "POST"),
    Page("/applets/install", install, Role.OWNER, "POST"),
    Page("/applets/{aid}/remove", show_removal, Role.OWNER),
    Page("/applets/{aid}/remove", remove, Role.OWNER, "POST"),
    Page("/applets/{aid}/lock", lock, Role.OWNER, "POST"),
    Page("/applets/{aid}/unlock", unlock, Role.OWNER, "POST"),
    Page("/applets/{aid}/enrolment", hand_over, Role.OWNER, "POST"),
    Page("/applets/{aid}/enrolment/forget", forget_enrolment, Role.OWNER, "POST"),
)
