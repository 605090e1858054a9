# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms phe|check`: keys and sums exchanged with python-paillier, and its opinion."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import rich_click as click

from meterlet.commands.common import FILE, Shown, json_or_text, output_option
from meterlet.commands.mdms.options import mdms_option
from meterlet.commands.tariff_files import write_new
from protocols.aggregation.paillier import PaillierPrivateKey, PaillierPublicKey
from utility_server.errors import CannotVerify
from utility_server.grid.mdms.phe_interchange import (
    EncryptedSum,
    InterchangeRefused,
    private_from_json,
    private_json,
    public_from_json,
    public_json,
)
from utility_server.grid.mdms.second_opinion import second_opinion
from utility_server.grid.mdms.workspace import Mdms
from utility_server.keys import read_secret, write_secret

WRITTEN: Final = "meterlet.mdms.phe/1"
"""What the commands print that write a file."""

public_argument = click.argument(
    "public_file",
    metavar="PUBLIC",
    type=FILE,
    help="The public key, as `meterlet mdms phe public` writes it.",
)


@click.group()
def phe() -> None:
    """Exchange keys, ciphertexts and sums with python-paillier, as the files of its `pheutil`."""


@phe.command("public")
@mdms_option
@output_option("A new file.")
@json_or_text(WRITTEN)
def public(folder: Path, output: Path) -> Shown:
    """Write the MDMS's public key: who has it can encrypt, and add up."""
    with Mdms.open(folder) as workspace:
        write_new(output, public_json(workspace.paillier.public_key).encode(), 0o644)
    return {"file": str(output)}, f"wrote {output}"


@phe.command("private")
@mdms_option
@output_option("A new file.")
@json_or_text(WRITTEN)
def private(folder: Path, output: Path) -> Shown:
    """Write the MDMS's private key, which is secret, into a file of mode 0600.

    `meterlet mdms init --paillier-key` takes it.
    """
    with Mdms.open(folder) as workspace:
        write_secret(output, private_json(_whole(workspace)).encode())
    return {"file": str(output)}, f"wrote {output}, which is secret"


@phe.command("encrypt")
@public_argument
@click.argument("number", type=int, help="A whole number.")
@output_option("A new file.")
@json_or_text(WRITTEN)
def encrypt(public_file: Path, number: int, output: Path) -> Shown:
    """Encrypt a whole NUMBER under a PUBLIC key."""
    encrypted = EncryptedSum.of(number, _public(public_file), os.urandom)
    write_new(output, encrypted.encode().encode(), 0o644)
    return {"file": str(output)}, f"wrote {output}"


@phe.command("add")
@public_argument
@click.argument(
    "files",
    metavar="CIPHERTEXT...",
    nargs=-1,
    required=True,
    type=FILE,
    help="Encrypted numbers, as `meterlet mdms phe encrypt` writes them.",
)
@output_option("A new file.")
@json_or_text(WRITTEN)
def add(public_file: Path, files: tuple[Path, ...], output: Path) -> Shown:
    """Add up encrypted numbers under their PUBLIC key, without opening them."""
    key = _public(public_file)
    total = EncryptedSum.total([_ciphertext(path, key) for path in files], key)
    write_new(output, total.encode().encode(), 0o644)
    return {"file": str(output)}, f"wrote {output}, the sum of {len(files)}"


@phe.command("decrypt")
@click.argument(
    "private_file",
    metavar="PRIVATE",
    type=FILE,
    help="The private key, as `meterlet mdms phe private` writes it.",
)
@click.argument("ciphertext", type=FILE, help="The encrypted number or sum.")
@json_or_text("meterlet.mdms.phe.decrypt/1")
def decrypt(private_file: Path, ciphertext: Path) -> Shown:
    """Open an encrypted whole number or sum with a PRIVATE key, a file of mode 0600."""
    with _named(private_file):
        key = private_from_json(read_secret(private_file))
    encrypted = _ciphertext(ciphertext, key.public_key)
    with _named(ciphertext):
        number = encrypted.open(key)
    return {"number": number}, str(number)


@click.command()
@mdms_option
@json_or_text("meterlet.mdms.check/1")
def check(folder: Path) -> Shown:
    """Let other programs check the MDMS's Paillier key: its primes, and sums of fresh numbers.

    Exit code 3 if they find something else than this program, 4 if the key is split.
    """
    with Mdms.open(folder) as workspace:
        found = second_opinion(_whole(workspace), workspace.randomness)
    facts = {"key": found.key_id.hex(), "bits": found.bits, "numbers": found.numbers}
    text = (
        f"key {facts['key']} of {found.bits} bits: PyCryptodome finds its primes prime, and"
        f" python-paillier opens a sum of {found.numbers} fresh numbers as this program does"
    )
    return {"verdict": "agrees", **facts}, text


def _whole(workspace: Mdms) -> PaillierPrivateKey:
    if not isinstance(workspace.paillier, PaillierPrivateKey):
        raise CannotVerify("this MDMS has a share of its key only: nobody has the whole")
    return workspace.paillier


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let what is wrong with a file begin with its name."""
    try:
        yield
    except InterchangeRefused as error:
        raise InterchangeRefused(f"{path}: {error}") from None


def _public(path: Path) -> PaillierPublicKey:
    with _named(path):
        return public_from_json(path.read_bytes())


def _ciphertext(path: Path, key: PaillierPublicKey) -> EncryptedSum:
    with _named(path):
        return EncryptedSum.decode(path.read_bytes(), key)
