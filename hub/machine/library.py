# SPDX-License-Identifier: Apache-2.0
"""A library: a package without applets, whose program applets of other packages import.

It travels as applets do (`hub.machine.signed_files`), with a manifest that names its AID, version
and vendor and gives no rights: whoever imports it runs it as a part of itself.

    library of Python sources   -> its modules stand beside the applet's
    library of a component      -> what it exports is what the applet's component imports
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.machine._tables import Table, pattern, text
from hub.machine.errors import BundleError, ManifestError
from hub.machine.manifest import NAME, VERSION, Code, Runtime, read_aid, read_code
from hub.machine.signed_files import (
    MANIFEST_FILE,
    check_files,
    decode_signed,
    payload_of,
    read_files,
)
from protocols.canonical.cose import CoseRefused, SignedParts
from protocols.canonical.foreign_text import ForeignTextRefused, read_toml
from protocols.canonical.signing import sign_document

CONTENT_TYPE: Final = "application/vnd.meterlet.library+cbor"
COMPONENT_FILE: Final = "library.wasm"


@dataclass(frozen=True, slots=True)
class LibraryManifest:
    """What a vendor declares of a library."""

    kind: str
    aid: bytes
    """The package's, by which it is imported."""
    name: str
    version: str
    vendor: str
    code: Code

    @classmethod
    def from_toml(cls, text_of: str) -> "LibraryManifest":
        """Read what a vendor wrote; raise `ManifestError`."""
        try:
            tables = read_toml(text_of)
        except ForeignTextRefused as error:
            raise ManifestError("manifest.toml", str(error)) from error
        return Table("", tables).make(
            cls,
            kind=_library,
            aid=read_aid,
            name=pattern(NAME),
            version=pattern(VERSION),
            vendor=text,
            code=read_code,
        )


def _library(value: object) -> str:
    if value != "library":
        raise ValueError('must be "library", or left out of an applet\'s manifest')
    return "library"


@dataclass(frozen=True, slots=True)
class Library:
    """A library, as its vendor signed it."""

    manifest_text: str
    files: Mapping[str, bytes] = field(repr=False)
    signer: bytes
    """The key id of its vendor."""
    manifest: LibraryManifest = field(init=False)
    digest: bytes = field(init=False)
    """SHA-256 of what is signed."""

    def __post_init__(self) -> None:
        manifest = LibraryManifest.from_toml(self.manifest_text)
        check_files(manifest.code, COMPONENT_FILE, self.files)
        digest = hashlib.sha256(payload_of(self.manifest_text, self.files)).digest()
        object.__setattr__(self, "manifest", manifest)
        object.__setattr__(self, "digest", digest)

    @property
    def version(self) -> bytes:
        """Major and minor, as the package has them."""
        return package_version(self.manifest.version)

    @classmethod
    def decode(cls, data: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]) -> "Library":
        """Return the library that `data` is; raise `BundleError` or `ManifestError`."""
        manifest_text, files = decode_signed(data, CONTENT_TYPE, vendor_keys)
        return cls(manifest_text, files, SignedParts.decode(data, CONTENT_TYPE).key_id)


def is_library(content: bytes) -> bool:
    """Tell whether a package's content says of itself that it is a library."""
    try:
        SignedParts.decode(content, CONTENT_TYPE)
    except CoseRefused:
        return False
    return True


def require_library(
    content: bytes, aid: bytes, version: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]
) -> Library:
    """Return the library that a package carries, under the AID and version that its vendor signed.

    Raises `BundleError` or `ManifestError`.
    """
    if not is_library(content):
        raise BundleError("the package has no applet, and is no library")
    library = Library.decode(content, vendor_keys)
    if library.manifest.aid != aid or library.version != version:
        raise BundleError(
            f"the package is not {library.manifest.name} {library.manifest.version}, which its"
            " vendor signed"
        )
    return library


def require_next_library(
    old: bytes, new: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]
) -> None:
    """Return if a library's new version is by the old one's vendor; raise `BundleError`."""
    if not is_library(old):
        raise BundleError("a package of applets does not become a library")
    signer = SignedParts.decode(old, CONTENT_TYPE).key_id
    if signer != Library.decode(new, vendor_keys).signer:
        raise BundleError("the new version is signed by another vendor")


def package_version(version: str) -> bytes:
    """Return the major and the minor number of a version; raise `BundleError` above 255."""
    try:
        return bytes(int(part) for part in version.split(".")[:2])
    except ValueError:
        raise BundleError(f"version {version}: a package's numbers end at 255") from None


def means_library(folder: Path) -> bool:
    """Tell whether the manifest in `folder` is a library's."""
    try:
        return "kind" in read_toml((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ForeignTextRefused):
        return False


def build_library(
    folder: Path,
    private_key: Ed25519PrivateKey,
    key_id: bytes,
    search_path: Sequence[Path] = (),
) -> bytes:
    """Return the signed library in `folder`; raise `BundleError` or `ManifestError`."""
    try:
        manifest_text = (folder / MANIFEST_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{folder / MANIFEST_FILE}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{folder / MANIFEST_FILE}: not UTF-8 text") from error
    code = LibraryManifest.from_toml(manifest_text).code
    files = read_files(folder, code, COMPONENT_FILE, search_path)
    if code.runtime is Runtime.PYTHON and not files:
        raise BundleError(f"{folder} holds no module")
    library = Library(manifest_text, files, key_id)
    payload = payload_of(library.manifest_text, library.files)
    return sign_document(payload, CONTENT_TYPE, private_key, key_id)
