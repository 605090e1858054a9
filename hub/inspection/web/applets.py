# SPDX-License-Identifier: Apache-2.0
"""The page Applets: who signed what, what it may do and did; installing, locking, removing.

Changes go through the card, as any card manager's do. The file that the applet's recipient needs
holds the channel's keys: it stays in the hub's folder until the resident has handed it over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.responses import Response

from hub.device import Device
from hub.disclosure import Terms
from hub.inspection.errors import InspectionError
from hub.inspection.web.call import Call, Page
from hub.inspection.web.errors import BadInput
from hub.inspection.web.installed import Installed, Vendor, installed_applets, vendors_of
from hub.inspection.web.jobs import Tick
from hub.inspection.web.package import read_package
from hub.inspection.web.residents import Role
from hub.inspection.web.work import begin_job
from hub.installation import Installer
from hub.machine import Bundle
from hub.vault import read_secret, write_secret

__all__ = ["PAGES"]

ENROLMENTS: Final = "enrolments"
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
    asked: tuple[Terms, ...]


def show_applets(call: Call) -> Response:
    """Show what is installed, and the form for more."""
    with call.device() as device:
        applets = installed_applets(device)
        waiting = {path.stem for path in (device.folder / ENROLMENTS).glob("*.enrolment")}
        return call.page(
            "applets.html",
            applets=applets,
            touched={applet.aid: _touched(device, applet.aid) for applet in applets},
            vendors=[vendor for vendor, _ in vendors_of(device)],
            waiting=waiting,
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

    def work(tick: Tick) -> str:
        machine = settings.open_machine()
        with settings.open_device() as device:
            installer = Installer(device, device.card(machine))
            package = installer.read(offer.content)
            # An applet whose recipient never gets its keys must not stay.
            with device.database.transaction():
                made = installer.install(package, offer.recipient, tick)
                aid = made.applet.hex()
                write_secret(_enrolment(device, aid), made.encode())
        facts = {"resident": name, "applet": aid, "vendor": offer.vendor.name}
        call.parts.incidents.happened("applet installed", facts)
        return aid

    return begin_job(call, "install", "/applets", "installed.html", work)


def hand_over(call: Call) -> Response:
    """Return the file that an applet's recipient needs."""
    with call.device() as device:
        aid = _applet(call, device).aid.hex()
        content = read_secret(_enrolment(device, aid))
    facts = {"resident": call.resident.resident.name, "applet": aid}
    call.parts.incidents.happened("enrolment handed over", facts)
    headers = {"Content-Disposition": f'attachment; filename="{aid}.enrolment"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


def forget_enrolment(call: Call) -> Response:
    """Destroy the file once the recipient has it."""
    with call.device() as device:
        _enrolment(device, _applet(call, device).aid.hex()).unlink(missing_ok=True)
    return call.see("/applets")


def show_removal(call: Call) -> Response:
    """Ask before an applet is removed."""
    with call.device() as device:
        return call.page("removal.html", applet=_applet(call, device))


def lock(call: Call) -> Response:
    """Lock an applet: it answers nobody."""
    return _manage(call, "applet locked", lambda installer, aid: installer.lock(aid))


def unlock(call: Call) -> Response:
    """Let an applet answer again."""
    return _manage(call, "applet unlocked", lambda installer, aid: installer.unlock(aid))


def remove(call: Call) -> Response:
    """Remove an applet, all it kept, and its consents."""

    def removal(installer: Installer, aid: bytes) -> None:
        installer.remove(aid)
        _enrolment(installer.device, aid.hex()).unlink(missing_ok=True)

    return _manage(call, "applet removed", removal)


def _manage(call: Call, event: str, change: Callable[[Installer, bytes], None]) -> Response:
    with call.device() as device:
        aid = _applet(call, device).aid
        change(Installer(device, device.card(call.parts.settings.open_machine())), aid)
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


def _enrolment(device: Device, aid: str) -> Path:
    """Return where an installed applet's enrolment lies; `aid` is the registry's, in hex."""
    return device.folder / ENROLMENTS / f"{aid}.enrolment"


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
