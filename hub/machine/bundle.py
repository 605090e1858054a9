# SPDX-License-Identifier: Apache-2.0
"""An applet as it travels: manifest and program in one file that its vendor signed.

COSE_Sign1 (RFC 9052, 4.2) with EdDSA, in deterministic CBOR, and nothing that is not needed:

    18([ << {1: -8, 3: "application/vnd.meterlet.applet+cbor", 4: key id} >>, {},
         << {"files": {path: bytes, ...}, "format": 1, "manifest": TOML text} >>, signature ])

Paths are those of Python modules (`applets/billing/applet.py`), or `applet.wasm` alone.
The vendor's signature is checked before anything behind it is parsed.
"""

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.machine.errors import BundleError
from hub.machine.manifest import Manifest, Runtime

__all__ = ["Bundle", "build_bundle"]

FORMAT: Final = 1
CONTENT_TYPE: Final = "application/vnd.meterlet.applet+cbor"
MAX_BUNDLE: Final = 8 << 20
MAX_FILES: Final = 512
SIGNATURE_SIZE: Final = 64
COMPONENT_FILE: Final = "applet.wasm"
MANIFEST_FILE: Final = "manifest.toml"
COSE_SIGN1: Final = b"\xd2\x84"  # tag 18, array of four
EMPTY_MAP: Final = b"\xa0"

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
        content = {
            "files": dict(self.files),
            "format": FORMAT,
            "manifest": self.manifest_text,
        }
        return cbor2.dumps(content, canonical=True)

    def sign(self, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
        """Return the bundle's bytes, signed."""
        protected, payload = _protected(key_id), self._payload()
        signature = private_key.sign(_to_be_signed(protected, payload))
        return (
            COSE_SIGN1
            + cbor2.dumps(protected)
            + EMPTY_MAP
            + cbor2.dumps(payload)
            + cbor2.dumps(signature)
        )

    @classmethod
    def decode(cls, data: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]) -> "Bundle":
        """Return the bundle that `data` is; raise `BundleError` or `ManifestError`.

        `vendor_keys` maps the key ids to the keys that are trusted to sign applets.
        """
        if len(data) > MAX_BUNDLE:
            raise BundleError(f"a bundle has at most {MAX_BUNDLE} bytes")
        protected, payload, signature = _split(data)
        keys = [key for key_id, key in vendor_keys.items() if _protected(key_id) == protected]
        if not keys:
            raise BundleError("signed by nobody who is trusted to sign applets")
        try:
            keys[0].verify(signature, _to_be_signed(protected, payload))
        except InvalidSignature:
            raise BundleError("the signature is not the vendor's") from None
        return cls._from_payload(payload)

    @classmethod
    def _from_payload(cls, payload: bytes) -> "Bundle":
        try:
            content = cbor2.loads(payload)
            canonical = cbor2.dumps(content, canonical=True)
        except (cbor2.CBORError, ValueError, TypeError, RecursionError) as error:
            raise BundleError(f"the payload is not CBOR: {error}") from None
        if (
            not isinstance(content, dict)
            or set(content) != {"files", "format", "manifest"}
            or canonical != payload
        ):
            raise BundleError("the payload is not a bundle in deterministic CBOR")
        files, manifest_text = content["files"], content["manifest"]
        if type(content["format"]) is not int or content["format"] != FORMAT:
            raise BundleError(f"a bundle of format {content['format']!r}, not {FORMAT}")
        if not isinstance(manifest_text, str) or not isinstance(files, dict):
            raise BundleError("the payload's parts have the wrong types")
        if not all(type(path) is str and type(file) is bytes for path, file in files.items()):
            raise BundleError("files are byte strings under text paths")
        return cls(manifest_text, files)


def _protected(key_id: bytes) -> bytes:
    return cbor2.dumps({1: -8, 3: CONTENT_TYPE, 4: key_id}, canonical=True)


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", payload], canonical=True)


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    if not data.startswith(COSE_SIGN1):
        raise BundleError("not a COSE_Sign1")
    protected, at = _byte_string(data, len(COSE_SIGN1))
    if data[at : at + 1] != EMPTY_MAP:
        raise BundleError("unprotected headers are not allowed")
    payload, at = _byte_string(data, at + 1)
    signature, at = _byte_string(data, at)
    if at != len(data) or len(signature) != SIGNATURE_SIZE:
        raise BundleError("the bundle does not end with a signature of 64 bytes")
    return protected, payload, signature


def _byte_string(data: bytes, at: int) -> tuple[bytes, int]:
    initial = data[at] if at < len(data) else 0
    width = {0x58: 1, 0x59: 2, 0x5A: 4}.get(initial, 0)
    start = at + 1 + width
    size = int.from_bytes(data[at + 1 : start], "big") if width else initial - 0x40
    value = data[start : start + size] if size >= 0 else b""
    if cbor2.dumps(value) != data[at : start + size]:
        raise BundleError(f"byte {at}: not a byte string in its shortest form")
    return value, start + size


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
