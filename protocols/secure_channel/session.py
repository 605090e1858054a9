# SPDX-License-Identifier: Apache-2.0
"""Secure messaging: what SCP03 and SCP11 have in common once the keys are agreed.

Both ends are one class, so neither can get rules of its own. The wrapped forms are
(GPC Amendment D v1.2, 6.2.4 to 6.2.7):

    command   CLA|04 INS P1 P2 Lc  AES-CBC(S-ENC, data 80 00..)  C-MAC
    response                       AES-CBC(S-ENC, data 80 00..)  R-MAC  SW

    C-MAC = CMAC(S-MAC,  chaining | header on channel 0 | Lc | encrypted data)
    R-MAC = CMAC(S-RMAC, chaining | encrypted data | SW)

`chaining` is the last full C-MAC; the command's IV is AES(S-ENC, counter), the response's the same
with the counter's top byte 80. What may follow what:

    FRESH --CHALLENGE--> CHALLENGED --AUTHENTICATE--> OPEN --COMMAND--> ANSWERING --RESPONSE--> OPEN
                                                              a COMMAND may follow a lost answer
    anything else --> BROKEN, for good

A host may send several commands before it looks at the answers: it keeps for each what `sent` was
after it was wrapped, and hands that in with the answer.
"""

import enum
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from protocols.iso7816.apdu import MAX_DATA, CommandApdu, ResponseApdu
from protocols.secure_channel.errors import LocalChannelError, RemoteChannelError
from protocols.secure_channel.keys import BLOCK, SessionKeys


class Role(enum.Enum):
    """Which end of the channel this is."""

    HOST = "host"
    CARD = "card"


class SecurityLevel(enum.IntFlag):
    """What a session protects (GPCS 2.3.1, 10.6; P1 of EXTERNAL AUTHENTICATE)."""

    NONE = 0x00
    C_MAC = 0x01
    C_ENC = 0x02
    R_MAC = 0x10
    R_ENC = 0x20
    C_MAC_R_MAC = 0x11
    COMMANDS = 0x03
    COMMANDS_R_MAC = 0x13
    FULL = 0x33


LEVELS: Final = frozenset({0x00, 0x01, 0x03, 0x11, 0x13, 0x33})
"""The only combinations that Amendment D, table 7-4, allows."""


class Phase(enum.Enum):
    """How far a session has come."""

    FRESH = enum.auto()
    CHALLENGED = enum.auto()
    OPEN = enum.auto()
    ANSWERING = enum.auto()
    BROKEN = enum.auto()


class Step(enum.Enum):
    """What either end does next."""

    CHALLENGE = enum.auto()
    AUTHENTICATE = enum.auto()
    COMMAND = enum.auto()
    RESPONSE = enum.auto()


NEXT: Final[Mapping[tuple[Phase, Step], Phase]] = {
    (Phase.FRESH, Step.CHALLENGE): Phase.CHALLENGED,
    (Phase.CHALLENGED, Step.AUTHENTICATE): Phase.OPEN,
    (Phase.OPEN, Step.COMMAND): Phase.ANSWERING,
    (Phase.ANSWERING, Step.COMMAND): Phase.ANSWERING,
    (Phase.ANSWERING, Step.RESPONSE): Phase.OPEN,
}


@dataclass(frozen=True, slots=True)
class SentCommand:
    """Where the session stood with a command: its answer is protected accordingly."""

    chaining: bytes
    counter: int
    level: SecurityLevel


class SecureSession:
    """One session, seen from either end; a handshake opens it."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self._phase = Phase.FRESH
        self._level = self._next_level = SecurityLevel.NONE
        self._chaining, self._counter = bytes(BLOCK), 0

    @property
    def phase(self) -> Phase:
        """How far the session has come; `BROKEN` is for good."""
        return self._phase

    @property
    def level(self) -> SecurityLevel:
        """What an open session protects."""
        return self._level

    @property
    def is_open(self) -> bool:
        """Whether messages may be exchanged."""
        return self._phase in {Phase.OPEN, Phase.ANSWERING}

    @property
    def dek(self) -> bytes:
        """The key that wraps keys and other sensitive data inside the session."""
        return self._keys.dek

    def change_level(self, level: SecurityLevel) -> None:
        """Protect messages in another way from the next command on (an R-MAC session)."""
        if not self.is_open:
            raise LocalChannelError("a session that is not open has no level")
        self._next_level = level

    def close(self) -> None:
        """End the session: nothing can be wrapped or unwrapped any more."""
        self._phase = Phase.BROKEN

    def wrap_command(self, command: CommandApdu) -> CommandApdu:
        """Return the protected form of `command`; it may need a chain (`MAX_DATA`)."""
        self._act(Role.HOST, Step.COMMAND)
        self._level = self._next_level
        self._counter += 1
        if not self._level & SecurityLevel.C_MAC:
            return command
        body = command.data
        if self._level & SecurityLevel.C_ENC and body:
            body = self._encrypt(body, response=False)
        length = len(body) + self._mac_size
        long = command.extended or length > 0xFF
        mac = self._command_mac(command, body, long=long)
        secured = replace(command, cla=command.cla | (0x20 if command.cla & 0x40 else 0x04))
        return replace(secured, data=body + mac, extended=long)

    def unwrap_command(self, command: CommandApdu, *, reassembled: bool = False) -> CommandApdu:
        """Return the command the host meant; a wrong MAC or too little protection ends the session.

        `reassembled` says that `command` came as a chain: its MAC then has a long Lc. The result
        is on channel 0 and without secure messaging.
        """
        self._act(Role.CARD, Step.COMMAND)
        self._level = self._next_level
        if command.is_secured != bool(self._level & SecurityLevel.C_MAC):
            self._refuse("the command is not protected as the session demands")
        self._counter += 1
        if not self._level & SecurityLevel.C_MAC:
            return command
        cut = len(command.data) - self._mac_size
        if cut < 0:
            self._refuse("the command is too short for its MAC")
        body, mac = command.data[:cut], command.data[cut:]
        before = self._chaining
        expected = self._command_mac(command, body, long=reassembled or command.extended)
        if not hmac.compare_digest(expected, mac):
            self._chaining = before
            self._refuse("command authentication failed")
        if self._level & SecurityLevel.C_ENC and body:
            body = self._decrypt(body, response=False)
        return replace(command, cla=command.plain_class, data=body)

    def wrap_response(self, response: ResponseApdu) -> ResponseApdu:
        """Return the protected form of `response`; errors go out bare and without data."""
        self._act(Role.CARD, Step.RESPONSE)
        if not response.is_answer:
            return replace(response, data=b"")
        body = response.data
        if self._level & SecurityLevel.R_ENC and body:
            body = self._encrypt(body, response=True)
        if self._level & SecurityLevel.R_MAC:
            body += self._response_mac(body, response.sw)
        return replace(response, data=body)

    @property
    def sent(self) -> SentCommand:
        """Where the session stands with the command that was wrapped last."""
        return SentCommand(self._chaining, self._counter, self._level)

    def unwrap_response(
        self, response: ResponseApdu, sent: SentCommand | None = None
    ) -> ResponseApdu:
        """Return what the card meant; a wrong MAC ends the session.

        `sent` says to which command it is the answer where others were sent after it. An error
        carries no MAC in this protocol: its status word is a hint, not a fact.
        """
        self._act(Role.HOST, Step.RESPONSE)
        latest = self.sent
        if sent is None or sent == latest:
            return self._unwrapped(response)
        self._go_to(sent)
        try:
            plain = self._unwrapped(response)
        finally:
            self._go_to(latest)
        self._phase = Phase.ANSWERING  # the latest command's answer is still to come
        return plain

    def _go_to(self, sent: SentCommand) -> None:
        self._chaining, self._counter, self._level = sent.chaining, sent.counter, sent.level

    def _unwrapped(self, response: ResponseApdu) -> ResponseApdu:
        if not self._level & SecurityLevel.R_MAC:
            return response
        if not response.is_answer:
            if response.data:
                self._refuse("an error carries data")
            return response
        cut = len(response.data) - self._mac_size
        if cut < 0:
            self._refuse("the response is too short for its MAC")
        body, mac = response.data[:cut], response.data[cut:]
        if not hmac.compare_digest(self._response_mac(body, response.sw), mac):
            self._refuse("response authentication failed")
        if self._level & SecurityLevel.R_ENC and body:
            body = self._decrypt(body, response=True)
        return replace(response, data=body)

    def verifies(self, command: CommandApdu) -> bool:
        """Return whether `command` carries this session's next C-MAC by itself.

        Tells a link of a chain that was protected link by link from one that was protected as a
        whole; nothing changes.
        """
        cut = len(command.data) - self._mac_size
        if not self.is_open or cut < 0 or not self._level & SecurityLevel.C_MAC:
            return False
        before = self._chaining
        mac = self._command_mac(command, command.data[:cut], long=command.extended)
        self._chaining = before
        return hmac.compare_digest(mac, command.data[cut:])

    # What the handshakes use

    def _open(
        self, keys: SessionKeys, level: SecurityLevel, mac_size: int, chaining: bytes, counter: int
    ) -> None:
        self._keys, self._level, self._mac_size = keys, level, mac_size
        self._next_level = level
        self._chaining, self._counter = chaining, counter
        self._mac, self._rmac = CMAC(AES(keys.mac)), CMAC(AES(keys.rmac))
        self._block = Cipher(AES(keys.enc), ECB()).encryptor()  # noqa: S305 - single blocks

    def _act(self, role: Role, step: Step) -> None:
        if self.role is not role:
            raise LocalChannelError(f"{step.name}: that is not for the {self.role.value} to do")
        self._advance(step)

    def _advance(self, step: Step) -> None:
        here, self._phase = self._phase, NEXT.get((self._phase, step), Phase.BROKEN)
        if self._phase is Phase.BROKEN:
            raise LocalChannelError(f"{step.name} is not allowed when {here.name}")

    def _refuse(self, reason: str) -> NoReturn:
        self._phase = Phase.BROKEN
        raise RemoteChannelError(reason)

    # The cryptography

    def _command_mac(self, command: CommandApdu, body: bytes, *, long: bool) -> bytes:
        header = bytes((command.plain_class | 0x04, command.ins, command.p1, command.p2))
        length = encode_lc(len(body) + self._mac_size, long=long)
        mac = self._mac.copy()
        mac.update(self._chaining + header + length + body)
        self._chaining = mac.finalize()
        return self._chaining[: self._mac_size]

    def _response_mac(self, body: bytes, sw: int) -> bytes:
        mac = self._rmac.copy()
        mac.update(self._chaining + body + sw.to_bytes(2, "big"))
        return mac.finalize()[: self._mac_size]

    def _iv(self, *, response: bool) -> bytes:
        counter = bytearray(self._counter.to_bytes(BLOCK, "big"))
        if response:
            counter[0] = 0x80
        return bytes(self._block.update(bytes(counter)))

    def _encrypt(self, data: bytes, *, response: bool) -> bytes:
        encryptor = Cipher(AES(self._keys.enc), CBC(self._iv(response=response))).encryptor()
        padded = data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)
        return encryptor.update(padded) + encryptor.finalize()

    def _decrypt(self, data: bytes, *, response: bool) -> bytes:
        if len(data) % BLOCK:
            self._refuse("the encrypted data are not whole blocks")
        decryptor = Cipher(AES(self._keys.enc), CBC(self._iv(response=response))).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
        plain = padded.rstrip(b"\0")
        # Cards in the field send a whole block of zeros too many; the MAC vouches for it.
        excess = len(padded) - len(plain) >= BLOCK and not response
        if excess or not plain.endswith(b"\x80"):
            self._refuse("the padding is wrong")
        return plain[:-1]


def encode_lc(length: int, *, long: bool) -> bytes:
    """Return Lc as the C-MAC covers it; beyond what an APDU holds it grows to five bytes."""
    if length > MAX_DATA:
        return length.to_bytes(5, "big")
    return b"\0" + length.to_bytes(2, "big") if long or length > 0xFF else bytes((length,))
