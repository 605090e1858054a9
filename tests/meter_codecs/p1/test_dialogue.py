# SPDX-License-Identifier: Apache-2.0
"""Reader and meter over a line that has a speed, each checking the other."""

from collections.abc import Callable

import pytest

from meter_codecs.p1 import Framing, Line, SessionError, Telegram
from meter_codecs.p1.dialogue import (
    NAK,
    Action,
    Finished,
    ReadoutClient,
    ReadoutServer,
    Send,
    SetSpeed,
)

LINES = (Line("F.F", ("00",)), Line("1.8.0", ("00012.3*kWh",)), Line("0.0.0", ("12345678",)))


def meter(identification: str = "XXX5METER") -> Telegram:
    return Telegram(identification, LINES, None)


class Wire:
    """A line between two ends; what is sent at another speed than the listener's is lost."""

    def __init__(
        self,
        client: ReadoutClient,
        server: ReadoutServer,
        *,
        change: Callable[[bytes], bytes] = bytes,
        echo: bool = False,
    ) -> None:
        self.client, self.server = client, server
        self.change, self.echo = change, echo
        self.speeds = {"client": 300, "server": 300}
        self.sent: list[bytes] = []
        self.found: list[Telegram] = []

    def run(self, actions: list[Action]) -> None:
        """Do what the client wants, and what follows from it."""
        answers: list[bytes] = []
        for action in actions:
            match action:
                case SetSpeed(baud):
                    self.speeds["client"] = baud
                case Send(data):
                    self.sent.append(data)
                    answers += self._at_the_meter(data)
                case Finished(telegram):
                    self.found.append(telegram)
        for answer in answers:
            for at in range(0, len(answer), 7):
                self.run(self.client.receive(answer[at : at + 7]))

    def _at_the_meter(self, data: bytes) -> list[bytes]:
        answers = [data] if self.echo else []
        if self.speeds["client"] != self.speeds["server"]:
            return answers
        for action in self.server.receive(data):
            match action:
                case SetSpeed(baud):
                    self.speeds["server"] = baud
                case Send(answer):
                    answers.append(self.change(answer))
                case Finished():
                    raise AssertionError("a meter asks nothing")
        return answers


def read(telegram: Telegram, **options: bool) -> Wire:
    client = ReadoutClient()
    wire = Wire(client, ReadoutServer(lambda: telegram), **options)  # type: ignore[arg-type]
    wire.run(client.start())
    return wire


@pytest.mark.parametrize(
    ("character", "speed", "acknowledgement"),
    [
        ("0", 300, [b"\x06000\r\n"]),
        ("3", 2400, [b"\x06030\r\n"]),
        ("5", 9600, [b"\x06050\r\n"]),
        ("6", 19200, [b"\x06060\r\n"]),
        ("A", 600, []),
        ("E", 9600, []),
        ("-", 300, []),
        (" ", 300, []),
    ],
)
@pytest.mark.parametrize("echo", [False, True])
def test_a_meter_of_each_mode_is_read_at_its_speed(
    character: str, speed: int, acknowledgement: list[bytes], echo: bool
) -> None:
    wire = read(meter(f"XXX{character}METER"), echo=echo)
    (found,) = wire.found
    assert found.lines == LINES
    assert found.framing is Framing.BLOCK
    assert wire.sent == [b"/?!\r\n", *acknowledgement]
    assert wire.speeds["server"] == speed
    assert wire.speeds["client"] == 300  # ready for the next


def test_a_slow_line_takes_a_lower_speed_than_the_meter_offers() -> None:
    client = ReadoutClient(fastest=5000)
    wire = Wire(client, ReadoutServer(meter))
    wire.run(client.start())
    assert wire.sent[1] == b"\x06040\r\n"
    assert wire.speeds["server"] == 4800
    assert len(wire.found) == 1


def test_a_meter_with_a_short_reaction_time_is_answered_sooner() -> None:
    client = ReadoutClient()
    (send, speed) = client.receive(b"/LGz5ZMD\r\n")
    assert send == Send(b"\x06050\r\n", 0.02)
    assert speed == SetSpeed(9600)
    assert ReadoutClient().receive(b"/LGZ5ZMD\r\n")[0] == Send(b"\x06050\r\n", 0.2)


def test_a_damaged_block_is_asked_for_again() -> None:
    damaged: list[bytes] = []

    def change(answer: bytes) -> bytes:
        if answer.startswith(b"\x02") and not damaged:
            damaged.append(answer)
            return answer.replace(b"00012.3", b"00012.7")
        return answer

    client = ReadoutClient()
    wire = Wire(client, ReadoutServer(meter), change=change)
    wire.run(client.start())
    assert wire.sent[-1] == NAK
    (found,) = wire.found
    assert found.lines == LINES


def test_a_meter_that_sends_no_whole_block_is_given_up() -> None:
    client = ReadoutClient()
    wire = Wire(client, ReadoutServer(meter), change=lambda a: a.replace(b"12.3", b"12.7"))
    with pytest.raises(SessionError, match="none was whole"):
        wire.run(client.start())


def test_a_silent_meter_is_asked_three_times() -> None:
    client = ReadoutClient("12345678")
    assert client.start()[1] == Send(b"/?12345678!\r\n", 0)
    assert client.timed_out() == client.start()
    assert client.timed_out() == client.start()
    with pytest.raises(SessionError, match="no end of an identification"):
        client.timed_out()


def test_a_meter_that_stops_in_its_data_is_asked_from_the_beginning() -> None:
    client = ReadoutClient()
    client.receive(b"/XXX5METER\r\n")
    client.receive(b"\x02F.F(0")
    assert client.timed_out() == client.start()
    wire = Wire(client, ReadoutServer(meter))
    wire.run(client.start())
    assert len(wire.found) == 1


@pytest.mark.parametrize(
    ("asked", "own", "answers"),
    [("", "00112233", True), ("112233", "00112233", True), ("00112233", "112233", True),
     ("112234", "00112233", False)],
)  # fmt: skip
def test_a_meter_answers_to_its_own_address_alone(asked: str, own: str, answers: bool) -> None:
    client = ReadoutClient(asked)
    wire = Wire(client, ReadoutServer(meter, address=own))
    wire.run(client.start())
    assert bool(wire.found) is answers


def test_an_address_that_cannot_be_is_refused() -> None:
    for address in ("1!2", "1" * 33, "ä", "1\r\n"):
        with pytest.raises(SessionError, match="letters and digits"):
            ReadoutClient(address)


def test_endless_data_are_given_up() -> None:
    client = ReadoutClient(longest=1000)
    client.receive(b"/XXX5METER\r\n")
    with pytest.raises(SessionError, match="no end of the data"):
        for _ in range(1000):
            client.receive(b"1.8.0(1*kWh)\r\n")


def test_data_without_stx_are_read_up_to_the_end_mark() -> None:
    client = ReadoutClient()
    client.receive(b"/XXX-METER\r\n")
    actions = client.receive(b"1.8.0(00012.3*kWh)\r\n!\r\n")
    assert isinstance(actions[0], Finished)
    assert actions[0].telegram.framing is Framing.PLAIN
    assert client.receive(b"more") == []
    assert client.timed_out() == []


def test_a_meter_asked_for_nothing_it_knows_stays_silent() -> None:
    server = ReadoutServer(meter)
    assert server.receive(b"hello\r\n" * 100) == []
    assert server.receive(NAK) == []
    assert server.receive(b"\x06050\r\n") == []
