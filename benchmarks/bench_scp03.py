# SPDX-License-Identifier: Apache-2.0
"""Secure messaging: a handshake, a protected command beside its cryptography, an exchange."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Option, Scp03
from protocols.secure_channel.session import Role, SecurityLevel

KEYS = StaticKeys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
COMMAND = CommandApdu(0x80, 0xE2, 0x90, 0x00, bytes(200), le=256)
ANSWER = ResponseApdu(bytes(200), 0x9000)


def pair() -> tuple[Scp03, Scp03]:
    host, card = Scp03(Role.HOST, KEYS, bytes(8)), Scp03(Role.CARD, KEYS, bytes(8))
    answer = card.answer(
        diversification=bytes(10), key_version=1, option=Option.S8_FULL, sequence=1, aid=b"12345"
    )
    host.receive_challenge(ResponseApdu(answer, 0x9000))
    card.authenticate(host.external_authenticate(SecurityLevel.FULL))
    return host, card


def bench_handshake_of_both_ends(benchmark: Any) -> None:
    benchmark.group = "SCP03 handshake"
    benchmark(pair)


def cryptography_alone() -> None:
    """What one protected command cannot do without: an IV, 208 bytes encrypted, a MAC."""
    block = Cipher(AES(KEYS.enc), ECB()).encryptor()
    iv = block.update(bytes(16)) + block.finalize()
    encryptor = Cipher(AES(KEYS.enc), CBC(iv)).encryptor()
    body = encryptor.update(bytes(208)) + encryptor.finalize()
    mac = CMAC(AES(KEYS.mac))
    mac.update(bytes(16) + body)
    mac.finalize()


def protecting(host: Scp03) -> Callable[[], None]:
    def protect() -> None:
        host.wrap_command(COMMAND)

    return protect


@pytest.mark.parametrize("way", ["cryptography alone", "whole"])
def bench_command(benchmark: Any, way: str) -> None:
    benchmark.group = "protecting one command of 200 bytes"
    benchmark(protecting(pair()[0]) if way == "whole" else cryptography_alone)


def bench_exchange_of_both_ends(benchmark: Any) -> None:
    """The command and its answer, wrapped and unwrapped by either end, at level 33."""
    benchmark.group = "one exchange at level 33, both ends"
    host, card = pair()

    def exchange() -> None:
        card.unwrap_command(host.wrap_command(COMMAND))
        host.unwrap_response(card.wrap_response(ANSWER))

    benchmark(exchange)
