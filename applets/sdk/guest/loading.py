# SPDX-License-Identifier: Apache-2.0
"""Applet modules out of memory: no files, no paths.

    sources    repeated: path length (4 bytes, big-endian), path, source length (4), source
    image      zlib of marshal of {module name: (is package, its code marshalled)}

Sources are compiled once, here inside, because code is only good for the Python that made it; the
hub keeps the image and hands it to each new instance, small because every byte that crosses costs
some 90 ns. A module is unpacked when it is imported.
"""

import _imp
import marshal
import sys
import zlib
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Final, TypeVar

NO_FILE: Final = "\ud800"
AppletT = TypeVar("AppletT")
Image = dict[str, tuple[bool, bytes]]


def _parts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def compile_sources(sources: bytes) -> bytes:
    """Return the image of a package's sources."""
    parts = _parts(sources)
    image: Image = {}
    for raw_path, source in zip(parts, parts, strict=True):
        path = raw_path.decode()
        name = path.removesuffix(".py").replace("/", ".")
        code = _compile(source, path)
        is_package = name.endswith(".__init__")
        image[name.removesuffix(".__init__")] = is_package, marshal.dumps(code)
    return zlib.compress(marshal.dumps(image), level=9)


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


class ImageImporter:
    """Finds and loads the modules of one image."""

    def __init__(self, image: bytes) -> None:
        # The image is the applet's own, made in here: this hands it nothing that it has not got.
        self._image: Image = marshal.loads(zlib.decompress(image))  # noqa: S302

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


def load_applet(image: bytes, module: str, base: type[AppletT]) -> type[AppletT]:
    """Return the one applet class that `module` defines."""
    sys.meta_path.insert(0, ImageImporter(image))
    __import__(module)
    found = [
        value
        for value in vars(sys.modules[module]).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module
    ]
    if len(found) != 1:
        raise TypeError(f"{module} defines {len(found)} applet classes instead of one")
    return found[0]
