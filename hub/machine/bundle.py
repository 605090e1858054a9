# SPDX-License-Identifier: Apache-2.0
"""An applet as it travels: manifest and program in one file that its vendor signed.

A signed document (`protocols.canonical.cose`) of the type application/vnd.meterlet.applet+cbor:

    payload = deterministic CBOR {"files": {path: bytes, ...}, "format": 1, "manifest": TOML text}

Paths are those of Python modules (`applets/billing/applet.py`), or `applet.wasm` alone.
The vendor's signature is checked before anything behind it is parsed.
"""

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.machine.errors import BundleError
from hub.machine.manifest import Manifest, Runtime
from protocols.canonical import cbor
from protocols.canonical.cose import CoseRefused, SignedParts
from protocols.canonical.reader import MapReader
from protocols.canonical.signing import sign_document

FORMAT: Final = 1
CONTENT_TYPE: Final = "application/vnd.meterlet.applet+cbor"
MAX_BUNDLE: Final = 8 << 20
MAX_FILES: Final = 512
COMPONENT_FILE: Final = "applet.wasm"
MANIFEST_FILE: Final = "manifest.toml"

_MODULE_PATH: Final = re.compile(r"(?:[a-z_][a-z0-9_]*/)+[a-z_][a-z0-9_]*\.py", re.ASCII)
_RESERVED: Final = frozenset(sys.stdlib_module_names) | {"hub", "sml_codec", "wit_world"}
_RESERVED_PREFIXES: Final = (
    "applets/__init__.py",
    "applets/sdk/",
    "componentize_py_",
    "protocols/iso7816/",
    "protocols/platform/",
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An applet, as its vendor signed it."""

    manifest_text: str
    files: Mapping[str, bytes] = field(repr=False)
    manifest: Manifest = field(init=False)
    digest: bytes = field(init=False)
    """SHA-256 of what is signed: names this manifest with this program."""

    def __post_init__(self) -> None:
        manifest = Manifest.from_toml(self.manifest_text)
        _check_files(manifest, self.files)
        object.__setattr__(self, "manifest", manifest)
        object.__setattr__(self, "digest", hashlib.sha256(self._payload()).digest())

    def _payload(self) -> bytes:
        return cbor.encode({"files": self.files, "format": FORMAT, "manifest": self.manifest_text})

    def sign(self, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
        """Return the bundle's bytes, signed."""
        return sign_document(self._payload(), CONTENT_TYPE, private_key, key_id)

    @classmethod
    def decode(cls, data: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]) -> "Bundle":
        """Return the bundle that `data` is; raise `BundleError` or `ManifestError`.

        `vendor_keys` maps the key ids to the keys that are trusted to sign applets.
        """
        if len(data) > MAX_BUNDLE:
            raise BundleError(f"a bundle has at most {MAX_BUNDLE} bytes")
        try:
            parts = SignedParts.decode(data, CONTENT_TYPE)
            vendor_keys[parts.key_id].verify(parts.signature, parts.to_be_signed)
        except CoseRefused as error:
            raise BundleError(str(error)) from None
        except KeyError:
            raise BundleError("signed by nobody who is trusted to sign applets") from None
        except InvalidSignature:
            raise BundleError("the signature is not the vendor's") from None
        return cls._from_payload(parts.payload)

    @classmethod
    def _from_payload(cls, payload: bytes) -> "Bundle":
        try:
            content = AppletBundleReader(cbor.decode(payload), "the payload")
        except cbor.CborError as error:
            raise BundleError(f"the payload is not deterministic CBOR: {error}") from None
        if (form := content.integer("format")) != FORMAT:
            raise BundleError(f"a bundle of format {form}, not {FORMAT}")
        manifest_text, files = content.text("manifest"), dict(content.named("files"))
        content.done()
        contents = {path: file for path, file in files.items() if isinstance(file, bytes)}
        if len(contents) != len(files):
            raise BundleError("files are byte strings under text paths")
        return cls(manifest_text, contents)


class AppletBundleReader(MapReader):
    """The payload's map."""

    error: ClassVar[type[Exception]] = BundleError


def _check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if len(files) > MAX_FILES:
        raise BundleError(f"a bundle has at most {MAX_FILES} files")
    if manifest.code.runtime is Runtime.COMPONENT:
        if set(files) != {COMPONENT_FILE}:
            raise BundleError(f"a component is the one file {COMPONENT_FILE}")
        return
    for path in files:
        if not _MODULE_PATH.fullmatch(path):
            raise BundleError(f"{path!r} is not the path of a module in a package")
        if path.partition("/")[0] in _RESERVED or path.startswith(_RESERVED_PREFIXES):
            raise BundleError(f"{path!r} would replace a module of the platform's")
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
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / manifest_name}: {error}") from error
    manifest = Manifest.from_toml(manifest_text)
    if manifest.code.runtime is Runtime.COMPONENT:
        files = {COMPONENT_FILE: _read(folder / COMPONENT_FILE)}
    else:
        files = dict(_package_files(manifest.code.package, folder))
        for package in manifest.code.include:
            files |= _package_files(package, _find_package(package, search_path))
        for path in _missing_parents(files):
            files[path] = b""
    return Bundle(manifest_text, files).sign(private_key, key_id)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error


def _package_files(package: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if "tests" not in inside.parts:
            yield f"{package.replace('.', '/')}/{inside.as_posix()}", _read(path)


def _find_package(package: str, search_path: Sequence[Path]) -> Path:
    for root in search_path:
        folder = root / package.replace(".", "/")
        if folder.is_dir():
            return folder
    raise BundleError(f"the package {package} is in none of {', '.join(map(str, search_path))}")


def _missing_parents(files: Mapping[str, bytes]) -> set[str]:
    parents = {
        f"{parent.as_posix()}/__init__.py"
        for path in files
        for parent in Path(path).parents
        if parent.name and parent.as_posix() != "applets"
    }
    return parents - files.keys()
