# SPDX-License-Identifier: Apache-2.0
"""POSTs and replies as bytes of HTTP/1.1 on one connection: h11, no sockets.

    request(uri, headers, body)  -->  bytes to send
    reply(chunk)                 -->  what the server says, or None while more is to come

What h11 would not say is not said: a POST without a script has neither body nor Content-Length, and
no field that the protocol does not know. A reply has a limit on its size; on its time the carrier
has one.
"""

from dataclasses import dataclass, field
from typing import Final

import h11

from hub.dialling.errors import BrokenDown
from hub.dialling.recipient import ServerAddress
from protocols.remote_admin.errors import ProtocolViolated
from protocols.remote_admin.http import Headers

MOST_HEAD_BYTES: Final = 1 << 14
MOST_SCRIPT_BYTES: Final = 1 << 21
"""Of a script of commands: some thirty full APDUs."""

Told = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, header fields and body of a reply."""


@dataclass(slots=True)
class HttpFraming:
    """The bytes of one connection, both ways."""

    address: ServerAddress
    _http: h11.Connection = field(init=False, repr=False)
    _response: h11.Response | None = None
    _body: bytearray = field(default_factory=bytearray, repr=False)

    def __post_init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)

    def request(self, uri: str, headers: Headers, body: bytes) -> bytes:
        """Return what is to be sent for a POST; the reply to the one before was taken."""
        self._response, self._body = None, bytearray()
        framing = [(b"Content-Length", str(len(body)).encode())] if body else []
        fields = [(b"Host", self.address.authority.encode()), *headers, *framing]
        events: list[h11.Event] = [h11.Request(method="POST", target=uri, headers=fields)]
        if body:
            events.append(h11.Data(data=body))
        events.append(h11.EndOfMessage())
        return b"".join(self._http.send(event) or b"" for event in events)

    def reply(self, chunk: bytes) -> Told | None:
        """Take what came, empty where the server has closed; return the reply once it is whole.

        That is status, header fields and body.

        Raises `BrokenDown` where the server has closed before that, `ProtocolViolated` where it is
        no reply.
        """
        try:
            self._http.receive_data(chunk)
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    return None
                if isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > MOST_SCRIPT_BYTES:
                        raise ProtocolViolated(f"{self.address}: the script is too long")
                elif isinstance(event, h11.EndOfMessage):
                    assert self._response is not None
                    response = self._response
                    return response.status_code, list(response.headers), bytes(self._body)
                elif isinstance(event, h11.ConnectionClosed):
                    raise self._closed()
        except h11.RemoteProtocolError as error:
            if not chunk:
                raise self._closed() from None
            raise ProtocolViolated(f"{self.address}: {error}") from None

    def next(self) -> bool:
        """Make ready for the next POST; False where the connection is of no more use."""
        is_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if is_done:
            self._http.start_next_cycle()
        return is_done

    def _closed(self) -> BrokenDown:
        text = f"{self.address}: the server has closed the connection"
        return BrokenDown(text, has_posted=True)
