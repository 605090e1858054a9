# SPDX-License-Identifier: Apache-2.0
"""The files that pages are drawn with: a fixed set, of which some are shared."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from listeners.assets import FOR_EVER, Assets


def test_shared_files_are_served_beside_those_of_a_folder_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "own.css").write_text("p { color: red; }")
    (tmp_path / "own.py").write_text("secret = 1")
    assets = Assets.load(tmp_path)
    app = Starlette(routes=[Route("/assets/{name}", assets.answer)])
    with TestClient(app) as client:
        for name, kind in (
            ("own.css", "text/css"),
            ("shared.css", "text/css"),
            ("icon.svg", "image/svg+xml"),
        ):
            answer = client.get(assets.address(name))
            assert (answer.status_code, answer.headers["cache-control"]) == (200, FOR_EVER)
            assert answer.headers["content-type"].startswith(kind)
        for name in ("own.css", "own.py", "..%2fassets.py"):
            assert client.get(f"/assets/{name}").status_code == 404
    with pytest.raises(KeyError):
        assets.address("own.py")


def test_two_files_of_a_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shared.css").write_text("")
    with pytest.raises(ValueError, match=r"shared\.css is there twice"):
        Assets.load(tmp_path)
