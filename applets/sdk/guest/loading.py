# SPDX-License-Identifier: Apache-2.0
"""Applet modules out of memory: no files, no paths.

    sources    repeated: path length (4 bytes, big-endian), path, source length (4), source
    image      base64 of marshal of {module name: (is package, its code marshalled)}, and after a
               line feed of {digest of a generated source: its code marshalled}

Sources are compiled once, here inside, because code is only good for the Python that made it; the
hub keeps the image and hands it to each new instance: as text, which crosses twenty times faster
than bytes. A module is unpacked when it is imported. What `dataclasses` write and compile while
an applet starts would take most of its start, so the first one's is handed out to be kept, too.
"""

import _imp
import binascii
import dataclasses
import hashlib
import marshal
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Final, TypeVar

NO_FILE: Final = "\ud800"
AppletT = TypeVar("AppletT")
Image = dict[str, tuple[bool, bytes]]
Generated = dict[bytes, bytes]


def _parts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def compile_sources(sources: bytes) -> str:
    """Return the image of a package's sources."""
    parts = _parts(sources)
    image: Image = {}
    for raw_path, source in zip(parts, parts, strict=True):
        path = raw_path.decode()
        name = path.removesuffix(".py").replace("/", ".")
        code = _compile(source, path)
        is_package = name.endswith(".__init__")
        image[name.removesuffix(".__init__")] = is_package, marshal.dumps(code)
    return _packed(image)


def _compile(source: bytes, path: str) -> CodeType:
    # To show the line of a syntax error, the compiler opens the file, which is a trap in here; so
    # it is given a name that cannot be one, and the right name takes its place afterwards.
    try:
        code = compile(source, NO_FILE, "exec", dont_inherit=True)
    except SyntaxError as error:
        lines = source.decode(errors="replace").splitlines()
        error.filename = path
        error.text = "".join(lines[(error.lineno or 0) - 1 :][:1])
        raise
    _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
    return code


def _packed(part: Image | Generated) -> str:
    return binascii.b2a_base64(marshal.dumps(part), newline=False).decode()


class GeneratedCode:
    """Stands in for `exec` in `dataclasses`: compiles what it does not know yet."""

    def __init__(self, known: Generated) -> None:
        self._known = known
        self.new: Generated = {}

    def execute(self, source: str, variables: dict[str, object], made: dict[str, object]) -> None:
        """Run generated source."""
        key = hashlib.sha256(source.encode()).digest()
        code = self._known.get(key)
        if code is None:
            code = self.new[key] = marshal.dumps(compile(source, "<generated>", "exec"))
        exec(marshal.loads(code), variables, made)  # noqa: S102, S302


class ImageImporter:
    """Finds and loads the modules of one image."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load the module; None if the image has none of that name."""
        found = self._image.get(name)
        if found is None:
            return None
        return ModuleSpec(name, self, is_package=found[0])  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave it to the import system."""
        return

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        code = marshal.loads(self._image[module.__name__][1])  # noqa: S302
        exec(code, module.__dict__)  # noqa: S102  (this is what a sandbox is for)


def load_applet(image: str, module: str, base: type[AppletT]) -> tuple[type[AppletT], str]:
    """Return the one applet class that `module` defines, and a better image, if there is one."""
    # The image is the applet's own, made in here: unpacking it gives it nothing new.
    modules, *generated = (
        marshal.loads(binascii.a2b_base64(part))  # noqa: S302
        for part in image.split("\n")
    )
    code = GeneratedCode(generated[0] if generated else {})
    dataclasses.exec = code.execute  # type: ignore[attr-defined]
    sys.meta_path.insert(0, ImageImporter(modules))
    __import__(module)
    del dataclasses.exec  # type: ignore[attr-defined]
    found = [
        value
        for value in vars(sys.modules[module]).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module
    ]
    if len(found) != 1:
        raise TypeError(f"{module} defines {len(found)} applet classes instead of one")
    return found[0], "" if generated else f"{image}\n{_packed(code.new)}"
