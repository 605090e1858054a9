# SPDX-License-Identifier: Apache-2.0
"""A manifest and files in one document that their vendor signed: what applets and libraries are.

A signed document (`protocols.canonical.cose`) of the type that tells which of the two it is:

    payload = deterministic CBOR {"files": {path: bytes, ...}, "format": 1, "manifest": TOML text}

Paths are those of Python modules (`applets/billing/applet.py`), or one component's alone.
The vendor's signature is checked before anything behind it is parsed.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.machine.errors import BundleError
from hub.machine.manifest import Code, Runtime
from protocols.canonical import cbor
from protocols.canonical.cose import CoseRefused, SignedParts
from protocols.canonical.reader import MapReader

FORMAT: Final = 1
MAX_BUNDLE: Final = 8 << 20
MAX_FILES: Final = 512
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


class SignedFilesReader(MapReader):
    """The payload's map."""

    error: ClassVar[type[Exception]] = BundleError


def payload_of(manifest_text: str, files: Mapping[str, bytes]) -> bytes:
    """Return what is signed."""
    return cbor.encode({"files": files, "format": FORMAT, "manifest": manifest_text})


def decode_signed(
    data: bytes, content_type: str, vendor_keys: Mapping[bytes, Ed25519PublicKey]
) -> tuple[str, dict[str, bytes]]:
    """Return the manifest's text and the files of a document; raise `BundleError`.

    `vendor_keys` maps the key ids to the keys that are trusted to sign applets.
    """
    if len(data) > MAX_BUNDLE:
        raise BundleError(f"a bundle has at most {MAX_BUNDLE} bytes")
    try:
        parts = SignedParts.decode(data, content_type)
        vendor_keys[parts.key_id].verify(parts.signature, parts.to_be_signed)
    except CoseRefused as error:
        raise BundleError(str(error)) from None
    except KeyError:
        raise BundleError("signed by nobody who is trusted to sign applets") from None
    except InvalidSignature:
        raise BundleError("the signature is not the vendor's") from None
    try:
        content = SignedFilesReader(cbor.decode(parts.payload), "the payload")
    except cbor.CborError as error:
        raise BundleError(f"the payload is not deterministic CBOR: {error}") from None
    if (form := content.integer("format")) != FORMAT:
        raise BundleError(f"a bundle of format {form}, not {FORMAT}")
    manifest_text, files = content.text("manifest"), dict(content.named("files"))
    content.done()
    contents = {path: file for path, file in files.items() if isinstance(file, bytes)}
    if len(contents) != len(files):
        raise BundleError("files are byte strings under text paths")
    return manifest_text, contents


def check_files(code: Code, component_file: str, files: Mapping[str, bytes]) -> None:
    """Return if the files may be a program of this kind; raise `BundleError` otherwise."""
    if len(files) > MAX_FILES:
        raise BundleError(f"a bundle has at most {MAX_FILES} files")
    if code.runtime is Runtime.COMPONENT:
        if set(files) != {component_file}:
            raise BundleError(f"a component is the one file {component_file}")
        return
    for path in files:
        if not _MODULE_PATH.fullmatch(path):
            raise BundleError(f"{path!r} is not the path of a module in a package")
        if path.partition("/")[0] in _RESERVED or path.startswith(_RESERVED_PREFIXES):
            raise BundleError(f"{path!r} would replace a module of the platform's")


def read_files(
    folder: Path, code: Code, component_file: str, search_path: Sequence[Path]
) -> dict[str, bytes]:
    """Return the files of the program in `folder`; raise `BundleError`.

    Packages that the manifest includes are looked for in `search_path`.
    """
    if code.runtime is Runtime.COMPONENT:
        return {component_file: _read(folder / component_file)}
    files = dict(_package_files(code.package, folder))
    for package in code.include:
        files |= _package_files(package, _find_package(package, search_path))
    for path in _missing_parents(files):
        files[path] = b""
    return files


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
