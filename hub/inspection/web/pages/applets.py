# SPDX-License-Identifier: Apache-2.0
"""The page Applets: who signed what, what it may do and did; installing, locking, removing.

Changes go through the card, as any card manager's do. The file that the applet's recipient needs
holds the channel's keys: it stays in the hub's folder until the resident has handed it over.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.responses import Response

from hub.device import Device
from hub.disclosure import ConsentTerms, count_refusals
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
from hub.installer import InstallationError, consent_terms
from hub.machine.bundle import Bundle
from hub.offers import Offer, find_offer, offers_of
from hub.vault.secret_file import read_secret

LARGEST_KEY: Final = 4096
MOST_HEXADECIMAL: Final = 64
"""Digits of what a form or a path names."""


@dataclass(frozen=True, slots=True)
class OfferedApplet:
    """An applet of a package that was read."""

    bundle: Bundle
    vendor: Vendor
    asked: tuple[ConsentTerms, ...]
    is_there: bool
    """Whether it is installed already."""

    @property
    def aid(self) -> bytes:
        """Which one it is."""
        return self.bundle.manifest.aid


@dataclass(frozen=True, slots=True)
class OfferedPackage:
    """A package that was read and may be installed, all of it or some of its applets."""

    content: bytes
    recipient: bytes
    applets: tuple[OfferedApplet, ...]

    @property
    def digest(self) -> str:
        """What tells the package that was shown from any other."""
        return sha256(self.content).hexdigest()

    @property
    def new(self) -> list[OfferedApplet]:
        """What is not installed yet."""
        return [applet for applet in self.applets if not applet.is_there]


@dataclass(frozen=True, slots=True)
class Installation:
    """An applet that was installed."""

    aid: str
    name: str


def show_applets(request: PageRequest) -> Response:
    """Show what is installed, and the form for more."""
    with request.device() as device:
        applets = installed_applets(device)
        return request.page(
            "applets.html",
            applets=applets,
            touched={applet.aid: _touched(device, applet.aid) for applet in applets},
            vendors=[vendor for vendor, _ in vendors_of(device)],
            versions=_offers(device),
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
        raise BadInput("choose a package, a CAP file", "package")
    key = _public_key(pem)
    if key is None:
        raise BadInput(
            "the recipient's key is not an Ed25519 public key in PEM: ask the recipient for the"
            " right file",
            "recipient",
        )
    with request.device() as device:
        try:
            offered = [
                (*one, tuple(consent_terms(one[0]))) for one in read_package(device, content)
            ]
        except InstallationError as error:
            raise BadInput(str(error), "package") from None
        there = {applet.aid for applet in installed_applets(device)}
    applets = tuple(
        OfferedApplet(bundle, vendor, asked, bundle.manifest.aid in there)
        for bundle, vendor, asked in offered
    )
    offer = OfferedPackage(content, key.public_bytes_raw(), applets)
    if len(applets) == 1 and not offer.new:
        raise BadInput(f"applet {applets[0].aid.hex().upper()} is installed already", "package")
    if not offer.new:
        raise BadInput("every applet of the package is installed already", "package")
    request.resident.offer = offer
    return show_offer(request)


def show_offer(request: PageRequest) -> Response:
    """Show what the package asks for that was read last."""
    offer = request.resident.offer
    if not isinstance(offer, OfferedPackage):
        return show_applets(request)
    return request.page("offer.html", offer=offer, chosen=_chosen(request, offer))


def install(request: PageRequest) -> Response:
    """Install what was chosen of the package that was shown, with the consents that were shown."""
    offer = request.resident.offer
    if not isinstance(offer, OfferedPackage) or request.fields.get("digest") != offer.digest:
        request.resident.offer = None
        raise BadInput("that package is not the one that was shown: read it again")
    chosen = [one for one in offer.new if one.aid in _chosen(request, offer)]
    if not chosen:
        raise BadInput("choose one applet or more", _field(offer.new[0]))
    request.resident.offer = None
    settings = request.parts.settings

    def work(tick: Tick) -> list[Installation]:
        done: list[Installation] = []
        for applet in chosen:
            change = Change(
                settings.folder, settings.open_machine, "install", applet.aid, offer.content,
                offer.recipient,
            )  # fmt: skip
            try:
                carry_out(change, _part(tick, len(done), len(chosen)))
            except InstallationError as error:
                if not done:
                    raise
                names = ", ".join(one.name for one in done)
                raise InstallationError(f"{names} was installed, then not: {error}") from None
            request.record("applet installed", applet=applet.aid.hex(), vendor=applet.vendor.name)
            done.append(Installation(applet.aid.hex(), applet.bundle.manifest.name))
        return done

    return begin_job(request, "install", "/applets", "installed.html", work)


def _part(tick: Tick, done: int, parts: int) -> Tick:
    """Return what is told how far one of several parts is, after those that are done."""

    def tick_part(now: int, total: int) -> None:
        tick(100 * done + (100 * now // total if total else 0), 100 * parts)

    return tick_part


def _chosen(request: PageRequest, offer: OfferedPackage) -> set[bytes]:
    """Return which applets of a package are to be installed: the only one is."""
    if len(offer.applets) == 1 or "digest" not in request.fields:
        return {applet.aid for applet in offer.new}
    return {applet.aid for applet in offer.new if request.fields.get(_field(applet)) == "yes"}


def _field(applet: OfferedApplet) -> str:
    return f"install-{applet.aid.hex()}"


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


def _offers(device: Device) -> list[Offer]:
    """Return what waits; nothing where it cannot be read any more, and so not be accepted."""
    try:
        return offers_of(device)
    except InstallationError:
        return []


def show_version(request: PageRequest) -> Response:
    """Show what a version asks for that a recipient has brought."""
    with request.device() as device:
        return request.page("version.html", offer=find_offer(device, _package(request)))


def accept_version(request: PageRequest) -> Response:
    """Consent to the version that was shown, which is in place then."""
    return _decide(request, "accept", "version accepted")


def refuse_version(request: PageRequest) -> Response:
    """Refuse the version that was shown; the one in place stays."""
    return _decide(request, "refuse", "version refused")


def _decide(request: PageRequest, what: str, event: str) -> Response:
    settings, package = request.parts.settings, _package(request)
    digest = _hexadecimal(request.fields.get("digest", ""))
    change = Change(settings.folder, settings.open_machine, what, package, digest)
    carry_out(change, lambda done, total: None)
    request.record(event, package=package.hex(), digest=digest.hex())
    return request.see("/applets")


def _package(request: PageRequest) -> bytes:
    return _hexadecimal(request.http.path_params["aid"])


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text[:MOST_HEXADECIMAL])
    except ValueError:
        return b""


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
    Page("/applets/package", offer_package, ResidentRole.OWNER, "POST", show_applets),
    Page("/applets/install", install, ResidentRole.OWNER, "POST", show_offer),
    Page("/applets/{aid}/remove", show_removal, ResidentRole.OWNER),
    Page("/applets/{aid}/remove", remove, ResidentRole.OWNER, "POST", show_removal),
    Page("/applets/{aid}/version", show_version, ResidentRole.OWNER),
    Page(
        "/applets/{aid}/version/accept",
        accept_version,
        ResidentRole.OWNER,
        "POST",
        show_version,
    ),
    Page(
        "/applets/{aid}/version/refuse",
        refuse_version,
        ResidentRole.OWNER,
        "POST",
        show_version,
    ),
    Page("/applets/{aid}/lock", lock, ResidentRole.OWNER, "POST", show_applets),
    Page("/applets/{aid}/unlock", unlock, ResidentRole.OWNER, "POST", show_applets),
    Page("/applets/{aid}/enrolment", hand_over, ResidentRole.OWNER, "POST", show_applets),
    Page(
        "/applets/{aid}/enrolment/forget",
        forget_enrolment,
        ResidentRole.OWNER,
        "POST",
        show_applets,
    ),
)
