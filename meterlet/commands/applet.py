# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet`: build applet packages, install, lock and remove them on a hub."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from hub.card.entries import CardState, DomainState, Kind, LifeCycle
from hub.card.packages.host_tool import Listed
from hub.device import Device
from hub.disclosure.wording import consent_in_words
from hub.installer import InstallationError, Installer, build_packages, consent_terms
from hub.machine.library import is_library
from hub.offers import let_manage
from hub.vault.secret_file import write_secret
from meterlet.commands.applet_ask import ask
from meterlet.commands.applet_dev import key, new, run
from meterlet.commands.applet_offers import accept, allow_upgrades, offers, refuse
from meterlet.commands.common import (
    AID_IN_HEX,
    FILE,
    PRESENT_FOLDER,
    Exit,
    Shown,
    aid_argument,
    fail,
    hub_option,
    json_option,
    json_or_text,
    open_machine,
    print_json,
    show,
)
from meterlet.commands.manifest_words import about_feed_in, dealings
from meterlet.commands.tariff_files import write_over
from meterlet.key_files import private_key, public_key
from meterlet.resources import SOURCES

CHANGE: Final = "meterlet.applet.change/1"
UPGRADE: Final = "meterlet.applet.upgrade/1"
LOCKED: Final = 0x80
PERSONALIZED: Final = DomainState.PERSONALIZED
APPLICATION: Final = "application"
ISSUER: Final = "issuer domain"
PACKAGE: Final = "package"
LIBRARY: Final = "library"


@click.group()
def applet() -> None:
    """Applets: the programs in the hub. Each has one recipient and one purpose."""


for command in (accept, allow_upgrades, ask, key, new, offers, refuse, run):
    applet.add_command(command)


@applet.command()
@click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=PRESENT_FOLDER,
    help="Folder of the applet's sources with its manifest.",
)
@click.option(
    "--key", "signer", type=FILE, required=True, help="The vendor's private key (PEM, Ed25519)."
)
@click.option(
    "--manifest", default="manifest.toml", show_default=True, help="A manifest in FOLDER."
)
@click.option("--output", "-o", type=FILE, help="Where the package goes; by default NAME.cap.")
@json_or_text("meterlet.applet.build/1")
def build(folders: tuple[Path, ...], signer: Path, manifest: str, output: Path | None) -> Shown:
    """Pack and sign the applet in FOLDER as a CAP file, which any card manager can load.

    Several folders make one package, which is named after the first. A folder whose manifest has
    kind = "library" makes a library, which applets of other packages import.
    """
    output = output or Path(f"{folders[0].name}.cap")
    search_path = [*dict.fromkeys(folder.resolve().parent for folder in folders), SOURCES]
    content = build_packages(folders, private_key(signer), search_path, manifest)
    write_over(output, content, 0o644)
    facts = {"package": str(output), "bytes": len(content)}
    packed = ", ".join(str(folder) for folder in folders)
    return facts, f"packed {packed} as {output}, {len(content):,} bytes"


@applet.command()
@hub_option
@click.argument("package", type=FILE, help="A package that `meterlet applet build` has made.")
@click.option(
    "--recipient", type=FILE, required=True, help="The recipient's public key (PEM, Ed25519)."
)
@click.option("--enrolment", type=FILE, required=True, help="Where the recipient's file goes.")
@click.option(
    "--applet", "aid", type=AID_IN_HEX, default=b"", help="Which one of several in PACKAGE."
)
@click.option("--yes", is_flag=True, help="Consent without being asked.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked, and change nothing.")
@click.option(
    "--allow-upgrades", is_flag=True, help="The recipient may bring new versions that ask no more."
)
@json_option
def install(
    folder: Path,
    package: Path,
    recipient: Path,
    enrolment: Path,
    aid: bytes,
    yes: bool,
    dry_run: bool,
    allow_upgrades: bool,
    as_json: bool,
) -> None:
    """Install a PACKAGE with a channel of its own to its recipient.

    Shows what the applet may release to whom, and asks the resident to consent. The enrolment
    file has the channel's keys: hand it to the recipient and destroy it.
    """
    with _installer(folder) as installer:
        read = installer.read(package.read_bytes(), aid)
        if enrolment.exists():
            fail(f"{enrolment}: exists already")
        parameters = public_key(recipient).public_bytes_raw()
        if not yes or dry_run:
            asked = [consent_in_words(terms) for terms in consent_terms(read.bundle)]
            asked += about_feed_in(read.manifest)
            allowed = dealings(read.manifest)
            for sentence in (*asked, *allowed):
                click.echo(sentence, err=True)
            if dry_run:
                if as_json:
                    plan = {
                        "aid": read.manifest.aid.hex().upper(),
                        "consents": asked,
                        "peers": allowed,
                    }
                    print_json("meterlet.applet.install/1", {**plan, "dry_run": True})
                return
            if not click.confirm("Do you consent?", err=True):
                fail("not installed: no consent was given", Exit.FORBIDDEN)
        # An applet whose recipient never gets its keys must not stay.
        with _bar() as progress, installer.device.database.transaction():
            made = installer.install(read, parameters, progress)
            if allow_upgrades:
                let_manage(installer, made.applet, is_allowed=True)
            write_secret(enrolment, made.encode())
    name = made.applet.hex().upper()
    facts = {"aid": name, "enrolment": str(enrolment)}
    text = f"installed {read.manifest.name} ({name}); its recipient needs {enrolment}"
    show("meterlet.applet.install/1", facts, text, as_json=as_json)


@applet.command()
@hub_option
@click.argument("package", type=FILE, help="A package that `meterlet applet build` has made.")
@json_or_text("meterlet.applet.load/1")
def load(folder: Path, package: Path) -> Shown:
    """Load PACKAGE, a library: applets that import it can be installed then.

    By itself it does nothing and may release nothing.
    """
    with _installer(folder) as installer:
        read = installer.read_library(package.read_bytes())
        with _bar() as progress:
            installer.load_library(read, progress)
    manifest = read.library.manifest
    facts = {
        "aid": manifest.aid.hex().upper(),
        "name": manifest.name,
        "version": manifest.version,
        "vendor": manifest.vendor,
    }
    return facts, f"loaded the library {manifest.name} {manifest.version} ({facts['aid']})"


@applet.command()
@hub_option
@click.argument("package", type=FILE, help="A package that `meterlet applet build` has made.")
@click.option("--yes", is_flag=True, help="Consent without being asked.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked, and change nothing.")
@json_or_text(UPGRADE)
def upgrade(folder: Path, package: Path, yes: bool, dry_run: bool) -> Shown:
    """Put the new version of a PACKAGE in the place of the installed one.

    The applets keep their channels and what they have stored. The resident is asked to consent to
    what the new version may release; consents to the old one end. With a library's new version
    this holds for all applets that import it.
    """
    with _installer(folder) as installer:
        new = installer.read_upgrade(package.read_bytes())
        asked, allowed = [], []
        for aid, bundle in new.bundles.items():
            asked += [consent_in_words(terms) for terms in consent_terms(bundle, aid)]
            asked += about_feed_in(bundle.manifest)
            allowed += dealings(bundle.manifest)
        version = new.cap.file.version
        facts: dict[str, object] = {
            "package": new.cap.file.aid.hex().upper(),
            "version": f"{version[0]}.{version[1]}",
            "applets": [aid.hex().upper() for aid in new.bundles],
            "consents": asked,
            "peers": allowed,
            "dry_run": dry_run,
        }
        if not yes or dry_run:
            for sentence in (*asked, *allowed):
                click.echo(sentence, err=True)
        if dry_run:
            return facts, "nothing was changed"
        if not yes and not click.confirm("Do you consent?", err=True):
            fail("not upgraded: no consent was given", Exit.FORBIDDEN)
        with _bar() as progress, installer.device.database.transaction():
            installer.upgrade(new, progress)
        names = ", ".join(bundle.manifest.name for bundle in new.bundles.values())
        names = names or new.cap.file.aid.hex().upper()
        if is_library(new.cap.file.bundle):
            library = installer.library(new.cap.file.aid).name
            names = f"library {library}" + (f", imported by {names}" if new.bundles else "")
            facts["library"] = library
    return facts, f"{names}: version {version[0]}.{version[1]} is in place"


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar for LOAD, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = TextColumn("loading"), BarColumn(), DownloadColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("loading")
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _installer(folder: Path) -> Iterator[Installer]:
    with Device.open(folder) as device:
        yield Installer(device, device.card(open_machine()))


@applet.command("list")
@hub_option
@json_or_text("meterlet.applet.list/1")
def list_applets(folder: Path) -> Shown:
    """List the applets that are installed, and what the card holds for them."""
    with _installer(folder) as installer:
        entries = [_listed(installer, entry) for entry in installer.entries()]
    applets = [entry for entry in entries if entry["kind"] == APPLICATION]
    lines = [
        f"{one['name']} {one['version']} by {one['vendor']}, for {one['recipient']}"
        f" ({one['purpose']}): {one['state_in_words']}; {one['aid']}"
        if "name" in one
        else f"an applet whose package is not read ({one['why']}): {one['aid']}"
        for one in applets
    ]
    if not applets:
        lines = ["no applet is installed"]
    lines += [
        f"{entry['aid']:34} {entry['kind']}{_named(entry)}: {entry['state_in_words']}"
        for entry in entries
        if entry["kind"] != APPLICATION
    ]
    return {"entries": entries}, lines


def _listed(installer: Installer, entry: Listed) -> dict[str, object]:
    """Return what is told of an entry; of an applet, with what its manifest says."""
    kind = _kind(installer, entry.aid, entry.scope)
    is_locked = entry.scope == 0x40 and bool(entry.life_cycle & LOCKED)
    facts: dict[str, object] = {
        "aid": entry.aid.hex().upper(),
        "kind": kind,
        "state": f"{entry.life_cycle:02X}",
        "locked": is_locked,
        "domain": entry.domain.hex().upper(),
        "state_in_words": _state(kind, entry.life_cycle, is_locked=is_locked),
    }
    if kind == LIBRARY:
        try:
            library = installer.library(entry.aid)
        except InstallationError as error:
            return {**facts, "why": str(error)}
        about = {"name": library.name, "version": library.version, "vendor": library.vendor}
        return {**facts, **about}
    if kind == PACKAGE and (loaded := installer.card.find(entry.aid)) is not None:
        version = ".".join(map(str, loaded.version))
        try:
            return {**facts, "name": installer.package_name(entry.aid), "version": version}
        except InstallationError as error:
            return {**facts, "why": str(error)}
    if kind != APPLICATION:
        return facts
    try:
        manifest = installer.bundle(entry.aid).manifest
    except InstallationError as error:  # as of a vendor whose key is gone
        return {**facts, "why": str(error)}
    return {
        **facts,
        "name": manifest.name,
        "version": manifest.version,
        "vendor": manifest.vendor,
        "recipient": manifest.recipient,
        "purpose": manifest.purpose,
        "confinement": manifest.confinement.value,
        "expires": manifest.expires.isoformat(),
    }


def _named(entry: Mapping[str, object]) -> str:
    """Return an entry's name and version, where it has them."""
    return f" {entry['name']} {entry['version']}" if "name" in entry else ""


def _state(kind: str, life_cycle: int, *, is_locked: bool) -> str:
    """Return an entry's life cycle in words (GPCS 11.1.1)."""
    if is_locked:
        return "locked: it answers nobody until it is unlocked"
    if kind == APPLICATION:
        return "answers its recipient" if life_cycle >= LifeCycle.SELECTABLE else "installed only"
    if kind == ISSUER:
        states = {one.value: one.name.lower().replace("_", " ") for one in CardState}
        return states.get(life_cycle, "unknown")
    if kind in (PACKAGE, LIBRARY):
        return "loaded"
    return "has its keys" if life_cycle & PERSONALIZED == PERSONALIZED else "without keys"


def _kind(installer: Installer, aid: bytes, scope: int) -> str:
    entry = installer.card.find(aid)
    kind = Kind.PACKAGE if entry is None or scope == 0x10 else entry.kind
    if kind is Kind.PACKAGE and not installer.card.registry.modules(aid):
        return LIBRARY
    return kind.name.lower().replace("_", " ")


@applet.command()
@hub_option
@aid_argument
@json_or_text(CHANGE)
def lock(folder: Path, aid: bytes) -> Shown:
    """Lock the applet AID: it answers nobody until it is unlocked."""
    with _installer(folder) as installer:
        installer.lock(aid)
    return _change("locked", aid)


@applet.command()
@hub_option
@aid_argument
@json_or_text(CHANGE)
def unlock(folder: Path, aid: bytes) -> Shown:
    """Let the applet AID answer again."""
    with _installer(folder) as installer:
        installer.unlock(aid)
    return _change("unlocked", aid)


@applet.command()
@hub_option
@aid_argument
@json_or_text(CHANGE)
def delete(folder: Path, aid: bytes) -> Shown:
    """Remove the applet AID, its package, its domain and all that it stored; or a library."""
    with _installer(folder) as installer:
        installer.remove(aid)
    return _change("removed", aid)


def _change(done: str, aid: bytes) -> Shown:
    name = aid.hex().upper()
    return {"aid": name, "done": done}, f"{done} {name}"
