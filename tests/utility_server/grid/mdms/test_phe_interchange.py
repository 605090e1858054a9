# SPDX-License-Identifier: Apache-2.0
"""Keys, ciphertexts and sums go to python-paillier and come back, by its command and its API."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import phe
import pytest
from click.testing import CliRunner, Result
from phe.command_line import cli as pheutil

from meterlet.commands.main import main
from meterlet.commands.mdms import mdms
from protocols.aggregation.paillier import PaillierPrivateKey
from utility_server.errors import StoreError, VerificationFailed
from utility_server.grid.mdms import second_opinion as opinions
from utility_server.grid.mdms.phe_interchange import (
    EncryptedSum,
    InterchangeRefused,
    phe_private,
    phe_public,
    private_from_json,
    private_json,
    public_from_json,
    public_json,
)
from utility_server.grid.mdms.second_opinion import second_opinion
from utility_server.grid.mdms.workspace import Mdms

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def key() -> PaillierPrivateKey:
    return PaillierPrivateKey.generate(1024, os.urandom)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mdms") / "mdms"
    assert run(mdms, "init", folder).exit_code == 0
    return folder


def run(command: Any, *arguments: object) -> Result:
    words = list(map(str, arguments))
    if command is mdms:
        return CliRunner().invoke(main, ["mdms", *words])
    return CliRunner().invoke(command, words)


def right(command: Any, *arguments: object) -> str:
    done = run(command, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_we_encrypt_phe_opens_and_adds(key: PaillierPrivateKey) -> None:
    public, private = phe_public(key.public_key), phe_private(key)
    ours = [EncryptedSum.of(wh, key.public_key, os.urandom) for wh in (1234, -34)]
    theirs = [phe.EncryptedNumber(public, one.ciphertext, one.exponent) for one in ours]
    assert [private.decrypt(one) for one in theirs] == [1234, -34]
    assert private.decrypt(theirs[0] + theirs[1] + public.encrypt(800)) == 2000


def test_what_phe_encrypts_and_adds_we_open(key: PaillierPrivateKey) -> None:
    public = phe_public(key.public_key)
    total = public.encrypt(5_000) + public.encrypt(-7_000) + 1
    assert EncryptedSum(int(total.ciphertext()), total.exponent).open(key) == -1_999


def test_our_sum_of_theirs_and_ours_is_one_whatever_the_exponents(key: PaillierPrivateKey) -> None:
    public = phe_public(key.public_key)
    fine = public.encrypt(700.0).decrease_exponent_to(-32)
    parts = [
        EncryptedSum(int(fine.ciphertext()), fine.exponent),
        EncryptedSum.of(50, key.public_key, os.urandom),
    ]
    total = EncryptedSum.total(parts, key.public_key)
    assert (total.exponent, total.open(key)) == (-32, 750)
    there = phe.EncryptedNumber(public, total.ciphertext, total.exponent)
    assert phe_private(key).decrypt(there) == 750


def test_keys_go_there_and_come_back(key: PaillierPrivateKey) -> None:
    assert private_from_json(private_json(key)).public_key == key.public_key
    assert public_from_json(public_json(key.public_key)) == key.public_key


def test_by_command_their_key_our_numbers(tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    private.touch(mode=0o600)
    assert right(pheutil, "genpkey", "--keysize", 1024, private) is not None
    right(pheutil, "extract", private, public)
    right(mdms, "phe", "encrypt", public, 41, "-o", tmp_path / "ours")
    theirs = tmp_path / "theirs"
    theirs.write_text(right(pheutil, "encrypt", public, "59").splitlines()[-1])
    right(mdms, "phe", "add", public, tmp_path / "ours", theirs, "-o", tmp_path / "sum")
    assert right(mdms, "phe", "decrypt", private, tmp_path / "sum") == "100\n"
    assert float(right(pheutil, "decrypt", private, tmp_path / "sum").splitlines()[-1]) == 100


def test_by_command_our_key_their_numbers(workspace: Path, tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    right(mdms, "phe", "private", "--mdms", workspace, "-o", private)
    right(mdms, "phe", "public", "--mdms", workspace, "-o", public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    theirs = tmp_path / "theirs"
    theirs.write_text(right(pheutil, "encrypt", public, "2000").splitlines()[-1])
    right(mdms, "phe", "encrypt", public, 18, "-o", tmp_path / "ours")
    right(mdms, "phe", "add", public, theirs, tmp_path / "ours", "-o", tmp_path / "sum")
    done = right(mdms, "phe", "decrypt", private, tmp_path / "sum", "--json")
    assert json.loads(done)["number"] == 2018
    again = tmp_path / "again"
    right(mdms, "init", again, "--paillier-key", private)
    with Mdms.open(workspace) as first, Mdms.open(again) as second:
        assert first.paillier.public_key == second.paillier.public_key


def test_a_private_key_that_others_may_read_is_not_taken(workspace: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    right(mdms, "phe", "private", "--mdms", workspace, "-o", private)
    private.chmod(0o644)
    (tmp_path / "sum").write_text('{"v": "5", "e": 0}')
    for arguments in (
        ("phe", "decrypt", private, tmp_path / "sum"),
        ("init", tmp_path / "again", "--paillier-key", private),
    ):
        done = run(mdms, *arguments)
        assert (done.exit_code, "must be 0600" in done.stderr) == (1, True)


def test_a_key_that_hubs_could_not_use_safely_makes_no_mdms(
    key: PaillierPrivateKey, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="1024 bits"):
        Mdms.create(tmp_path / "short", paillier=key)
    assert not (tmp_path / "short").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.pop("q"),
        lambda members: members.update(p=members["q"]),
        lambda members: members["pub"].update(n="-_-_"),
        lambda members: members.update(key_ops=["encrypt"]),
        lambda members: members.update(p=7),
        lambda members: members.update(p=""),
        lambda members: members.update(pub="n"),
    ],
)
def test_what_is_no_private_key_is_refused(
    key: PaillierPrivateKey, change: Callable[[dict[str, Any]], object]
) -> None:
    members = json.loads(private_json(key))
    change(members)
    with pytest.raises(InterchangeRefused) as refused:
        private_from_json(json.dumps(members))
    assert str(key.p) not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"v": 5, "e": 0}', '{"v": "5", "e": 1}', '{"v": "5", "e": true}',
     '{"v": "-5", "e": 0}', '{"v": "0", "e": 0}', '{"v": "٥", "e": 0}', '{"v": "5", "e": -65}',
     '{"v": "' + "9" * 700 + '", "e": 0}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_ciphertext_is_refused(key: PaillierPrivateKey, text: str) -> None:
    with pytest.raises(InterchangeRefused):
        EncryptedSum.decode(text, key.public_key)


def test_a_fraction_and_an_overflow_are_not_opened_as_numbers(key: PaillierPrivateKey) -> None:
    half = phe_public(key.public_key).encrypt(0.5)
    with pytest.raises(InterchangeRefused, match="not whole"):
        EncryptedSum(int(half.ciphertext()), half.exponent).open(key)
    large = EncryptedSum.of(key.public_key.modulus // 3 - 1, key.public_key, os.urandom)
    twice = EncryptedSum.total([large, EncryptedSum.of(5, key.public_key, os.urandom)],
                               key.public_key)  # fmt: skip
    with pytest.raises(InterchangeRefused, match="overflowed"):
        twice.open(key)


def test_other_programs_agree_on_the_key(workspace: Path) -> None:
    done = json.loads(right(mdms, "check", "--mdms", workspace, "--json"))
    assert (done["verdict"], done["bits"]) == ("agrees", 2048)


def test_of_a_split_key_there_is_no_second_opinion(tmp_path: Path) -> None:
    right(mdms, "init", tmp_path / "mdms", "--trustee-share", tmp_path / "share")
    for arguments in (("check",), ("phe", "private", "-o", tmp_path / "private")):
        done = run(mdms, *arguments, "--mdms", tmp_path / "mdms")
        assert (done.exit_code, "share of its key only" in done.stderr) == (4, True)
    assert not (tmp_path / "private").exists()


def test_a_wrong_decryption_is_found(
    key: PaillierPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    decrypt = PaillierPrivateKey.decrypt
    monkeypatch.setattr(PaillierPrivateKey, "decrypt", lambda own, c: decrypt(own, c) + 1)
    with pytest.raises(VerificationFailed, match="this program opens a wrong sum"):
        second_opinion(key, os.urandom)


def test_a_factor_that_is_not_prime_is_found(
    key: PaillierPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opinions, "isPrime", lambda number, doubt: number != key.q)
    with pytest.raises(VerificationFailed, match="not prime"):
        second_opinion(key, os.urandom)
