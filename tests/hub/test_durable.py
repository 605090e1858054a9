# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced: of hub and utility, which share no room for one function."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import hub.durable
import utility_server.durable
from utility_server.errors import StoreError
from utility_server.keys import read_secret, write_secret

Replace = Callable[..., None]
both = pytest.mark.parametrize(
    "replace", [hub.durable.replace_file, utility_server.durable.replace_file]
)


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@both
def test_a_file_has_its_bytes_on_the_disk_before_its_name(
    replace: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "list", list[tuple[bool, bytes | None]]()
    path.write_bytes(b"old")
    plain = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        seen.append((is_folder, path.read_bytes()))
        plain(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    replace(path, b"new")
    assert seen == [(False, b"old"), (True, b"new")]
    assert path.read_bytes() == b"new"


@both
def test_the_old_file_stays_where_the_new_one_has_no_room(
    replace: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises((OSError, StoreError), match="No space left"):
        replace(path, b"new")
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    replace(path, b"new")
    assert path.read_bytes() == b"new"


@both
def test_a_file_gets_the_mode_that_is_said(replace: Replace, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace(path, b"new", 0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_half_a_key_of_a_utility_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "signing.key"
    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(StoreError, match="No space left"):
        write_secret(path, bytes(32))
    assert not path.exists()
    monkeypatch.undo()
    write_secret(path, bytes(32))
    assert read_secret(path, 32) == bytes(32)
