# SPDX-License-Identifier: Apache-2.0
"""The host's end of a card: select, open a channel, send commands of any size.

`CardClient` is given a function that carries one APDU there and the answer back; it splits long
commands, collects long answers (61xx) and protects what it sends once a channel is open.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from protocols.iso7816.apdu import MAX_DATA, MAX_LE, CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedApdu
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Scp03
from protocols.secure_channel.session import Role, SecureSession, SecurityLevel

MAX_ANSWER: Final = 1 << 24
"""The longest answer a client collects; a card that goes on is refused."""
INS_SELECT: Final = 0xA4
INS_GET_RESPONSE: Final = 0xC0
_SHORT: Final = 0xFF


class CardClient:
    """A conversation with one card over `transmit`."""

    def __init__(
        self, transmit: Callable[[bytes], bytes], *, max_data: int = MAX_DATA, channel: int = 0
    ) -> None:
        """Use `transmit` for every APDU; `max_data` 255 keeps to short ones."""
        self._transmit, self._max_data, self._channel = transmit, max_data, channel
        self._session: SecureSession | None = None
        self._selected = b""

    @property
    def session(self) -> SecureSession | None:
        """The secure channel, where one is open."""
        return self._session

    def select(self, aid: bytes) -> ResponseApdu:
        """Select `aid` and return what it says of itself; raise `CardRefused` if it is not there.

        A channel that was open ends.
        """
        self._session = None
        response = self._exchange(CommandApdu(0, INS_SELECT, 4, 0, aid, le=256))
        if not response.is_success:
            raise CardRefused(f"SELECT {aid.hex().upper()}", response.sw)
        self._selected = aid
        return response

    def open_scp03(
        self,
        keys: StaticKeys,
        host_challenge: bytes,
        *,
        level: SecurityLevel = SecurityLevel.FULL,
        key_version: int = 0,
        expected_aid: bytes | None = None,
    ) -> Scp03:
        """Open SCP03 with `keys`; raise `CardRefused` or `RemoteChannelError` where it fails.

        `host_challenge` is 8 (S8) or 16 (S16) fresh random bytes. With `expected_aid`, the full
        AID of what is selected, the card's pseudo-random challenge is checked as well.
        """
        self._session = None
        session = Scp03(Role.HOST, keys, host_challenge)
        response = self._exchange(session.initialize_update(key_version))
        session.receive_challenge(response, expected_aid)
        session.confirm(self._exchange(session.external_authenticate(level)))
        self._session = session
        return session

    def use(self, session: SecureSession) -> None:
        """Protect what follows with a session that was opened by other means."""
        self._session = session

    def send(self, command: CommandApdu) -> ResponseApdu:
        """Send `command`, of any length, and return the whole answer, whatever its status word."""
        if self._max_data <= _SHORT:
            le = None if command.le is None else min(command.le, 256)
            command = replace(command, le=le, extended=False)
        if self._session is None:
            return self._exchange(command)
        response = self._exchange(self._session.wrap_command(command))
        return self._session.unwrap_response(response)

    def call(self, step: str, command: CommandApdu) -> bytes:
        """Send `command` and return the answer's data; raise `CardRefused` unless it is 9000."""
        response = self.send(command)
        if not response.is_success:
            raise CardRefused(step, response.sw)
        return response.data

    def _exchange(self, command: CommandApdu) -> ResponseApdu:
        response = self._send_chain(command.on_channel(self._channel))
        if response.sw >> 8 != 0x61:
            return response
        collected = bytearray(response.data)
        le = MAX_LE if self._max_data > _SHORT else 256
        more = CommandApdu(0, INS_GET_RESPONSE, 0, 0, le=le).on_channel(self._channel)
        while response.sw >> 8 == 0x61:
            response = self._once(more)
            collected += response.data
            if len(collected) > MAX_ANSWER or (response.sw >> 8 == 0x61 and not response.data):
                raise RemoteChannelError("the card's answer does not end")
        return replace(response, data=bytes(collected))

    def _send_chain(self, command: CommandApdu) -> ResponseApdu:
        size, data = self._max_data, command.data
        while len(data) > size:
            link = replace(command, cla=command.cla | 0x10, data=data[:size], le=None)
            response = self._once(link)
            if not response.is_success:
                return response
            data = data[size:]
        # The last link of a chain of short commands is short again.
        return self._once(replace(command, data=data, extended=command.extended and size > _SHORT))

    def _once(self, command: CommandApdu) -> ResponseApdu:
        try:
            return ResponseApdu.decode(self._transmit(command.encode()))
        except MalformedApdu as error:
            raise RemoteChannelError(f"the card's answer is not a response: {error}") from error
