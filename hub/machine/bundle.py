# SPDX-License-Identifier: Apache-2.0
"""An applet as it travels: manifest and program in one file (`hub.machine.signed_files`).

An applet may import libraries (`hub.machine.library`). Linked with them it has another digest,
which names all that runs: what was consented to for one program holds for no other.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.machine.errors import BundleError
from hub.machine.library import Library, package_version
from hub.machine.manifest import Manifest, Runtime
from hub.machine.signed_files import (
    MANIFEST_FILE,
    check_files,
    decode_signed,
    payload_of,
    read_files,
)
from protocols.canonical import cbor
from protocols.canonical.signing import sign_document

CONTENT_TYPE: Final = "application/vnd.meterlet.applet+cbor"
COMPONENT_FILE: Final = "applet.wasm"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An applet, as its vendor signed it."""

    manifest_text: str
    files: Mapping[str, bytes] = field(repr=False)
    libraries: tuple[Library, ...] = ()
    """What it is linked with, in the order of its manifest."""
    manifest: Manifest = field(init=False)
    digest: bytes = field(init=False)
    """SHA-256 of what is signed: names this manifest with this program; with libraries, of the
    digests of all."""

    def __post_init__(self) -> None:
        manifest = Manifest.from_toml(self.manifest_text)
        _check_program(manifest, self.files)
        digest = hashlib.sha256(self._payload()).digest()
        if self.libraries:
            parts: dict[str, cbor.CborValue] = {
                "applet": digest,
                "libraries": [one.digest for one in self.libraries],
            }
            digest = hashlib.sha256(cbor.encode(parts)).digest()
        object.__setattr__(self, "manifest", manifest)
        object.__setattr__(self, "digest", digest)

    def _payload(self) -> bytes:
        return payload_of(self.manifest_text, self.files)

    @property
    def sources(self) -> Mapping[str, bytes]:
        """The files of an applet of Python, with those of its libraries."""
        sources: dict[str, bytes] = {}
        for library in self.libraries:
            sources.update(library.files)
        sources.update(self.files)
        return sources

    def linked(self, libraries: Sequence[Library], signer: bytes) -> "Bundle":
        """Return the applet with the libraries that its manifest imports, in that order.

        `signer` is who signed the applet: a library is its vendor's own, so that nobody else's
        program comes to run with its rights. Raises `BundleError`.
        """
        wanted = self.manifest.libraries
        if len(wanted) != len(libraries):
            raise BundleError("an applet is linked with the libraries that its manifest names")
        files = dict(self.files)
        for wish, library in zip(wanted, libraries, strict=True):
            name = library.manifest.name
            if library.manifest.aid != wish.package or library.signer != signer:
                raise BundleError(f"the library {name} is not the one that is meant, or another's")
            if not fits(package_version(wish.version), library.version):
                raise BundleError(
                    f"the library {name} has version {library.manifest.version}, and the applet"
                    f" imports {wish.version}"
                )
            if library.manifest.code.runtime is not self.manifest.code.runtime:
                raise BundleError(f"the library {name} is for another runtime")
            for path, file in library.files.items():
                if files.setdefault(path, file) != file:
                    raise BundleError(f"{path} is in the library {name}, and is another elsewhere")
        return replace(self, libraries=tuple(libraries))

    def sign(self, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
        """Return the bundle's bytes, signed."""
        return sign_document(self._payload(), CONTENT_TYPE, private_key, key_id)

    @classmethod
    def decode(cls, data: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]) -> "Bundle":
        """Return the bundle that `data` is; raise `BundleError` or `ManifestError`.

        `vendor_keys` maps the key ids to the keys that are trusted to sign applets.
        """
        return cls(*decode_signed(data, CONTENT_TYPE, vendor_keys))


def fits(wanted: bytes, there: bytes) -> bool:
    """Tell whether a library's version is one that was imported: a later minor one is, too."""
    return wanted[:1] == there[:1] and wanted <= there


def _check_program(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    check_files(manifest.code, COMPONENT_FILE, files)
    if manifest.code.runtime is Runtime.PYTHON:
        main = manifest.code.package.replace(".", "/") + "/applet.py"
        if main not in files:
            raise BundleError(f"{main} is missing")


def build_bundle(
    folder: Path,
    private_key: Ed25519PrivateKey,
    key_id: bytes,
    search_path: Sequence[Path] = (),
    manifest_name: str = MANIFEST_FILE,
) -> bytes:
    """Return the signed bundle of the applet in `folder`.

    `folder` holds the manifest and the package's modules, or applet.wasm. Packages that the
    manifest includes are looked for in `search_path`. Raises `BundleError`, `ManifestError`.
    """
    try:
        manifest_text = (folder / manifest_name).read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{folder / manifest_name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{folder / manifest_name}: not UTF-8 text") from error
    manifest = Manifest.from_toml(manifest_text)
    files = read_files(folder, manifest.code, COMPONENT_FILE, search_path)
    return Bundle(manifest_text, files).sign(private_key, key_id)
