# SPDX-License-Identifier: Apache-2.0
"""`meterlet examples`: tariffs, readings, scripts and applets to start from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import rich_click as click

from meterlet.commands.common import FOLDER, Shown, fail, json_or_text
from meterlet.resources import APPLETS, EXAMPLES


@click.command()
@click.option("--to", "target", type=FOLDER, help="Write them into this folder; else list them.")
@json_or_text("meterlet.examples/1")
def examples(target: Path | None) -> Shown:
    """List the examples that come with Meterlet, or write them into a folder.

    There are tariffs and a month of readings (examples/), and the sources of the applets with
    their manifests (applets/). Nothing that exists is overwritten.
    """
    found = dict(_sources())
    if target is not None:
        for top in sorted({name.parts[0] for name in found}):
            if (target / top).exists():
                fail(f"{target / top}: exists already")
        for name, source in found.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    folder = None if target is None else str(target)
    names = [str(name) for name in found]
    lines = names if target is None else [f"wrote {len(found)} files into {target}"]
    return {"to": folder, "files": names}, lines


def _sources() -> Iterator[tuple[Path, Path]]:
    """Yield each example's name below the target, and where it is."""
    manifests = {path.parent for path in APPLETS.glob("*/*.toml")}
    for top, folders in ("applets", sorted(manifests)), ("examples", [EXAMPLES]):
        root = APPLETS if top == "applets" else EXAMPLES
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield Path(top) / path.relative_to(root), path
