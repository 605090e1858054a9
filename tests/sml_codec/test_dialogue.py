# SPDX-License-Identifier: Apache-2.0
"""A client and a server, each checking the other, without a network and over one."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from sml_codec import (
    AttentionRes,
    Body,
    CloseReq,
    CloseRes,
    ConnectionLost,
    GetListReq,
    GetListRes,
    GetProcParameterReq,
    GetProcParameterRes,
    GetProfileListReq,
    GetProfileListRes,
    ListEntry,
    Message,
    Obis,
    OpenReq,
    OpenRes,
    PeriodEntry,
    PlainValue,
    RequestRefused,
    SessionError,
    SetProcParameterReq,
    Time,
    TimeChoice,
    Tree,
    encode_file,
    encode_frame,
)
from sml_codec.attention import Attention
from sml_codec.client import SmlClient, connect
from sml_codec.dialogue import Enquiry, Request, Responder
from sml_codec.server import serve

SERVER = bytes.fromhex("0a01485542000000002a")
ENERGY = Obis.parse("1-0:1.8.0*255")
PROFILE = bytes.fromhex("8181c78611ff")
PARAMETER = bytes.fromhex("810060050000")

VALUES = GetListRes(
    server_id=SERVER, entries=(ListEntry(obis=ENERGY, unit=30, scaler=-1, value=40508),)
)


def list_of_values(request: Request) -> Iterable[Body]:
    assert isinstance(request, GetListReq)
    return [VALUES]


def profile(request: Request) -> Iterable[Body]:
    assert isinstance(request, GetProfileListReq)
    return [
        GetProfileListRes(
            server_id=SERVER,
            tree_path=request.tree_path,
            time=Time(TimeChoice.TIMESTAMP, 900 * quarter),
            entries=(PeriodEntry(obis=ENERGY, unit=30, scaler=0, value=quarter),),
        )
        for quarter in range(3)
    ]


def parameter(request: Request) -> Iterable[Body]:
    assert isinstance(request, GetProcParameterReq)
    if request.tree_path != (PARAMETER,):
        return []
    tree = Tree(PARAMETER, PlainValue(b"hub"))
    return [GetProcParameterRes(server_id=SERVER, tree_path=request.tree_path, tree=tree)]


TABLE = {GetListReq: list_of_values, GetProfileListReq: profile, GetProcParameterReq: parameter}
ASKED: list[Request] = [
    GetListReq(client_id=b"me"),
    GetProfileListReq(tree_path=(PROFILE,)),
    GetProcParameterReq(tree_path=(PARAMETER,)),
]


def enquiry(*requests: Request, server_id: bytes | None = None) -> Enquiry:
    return Enquiry(b"7", requests, b"me", server_id, b"user", b"secret")


def test_every_request_of_a_file_is_answered_in_its_place() -> None:
    asked = enquiry(*ASKED)
    responses = Responder(SERVER, TABLE).respond(asked.messages())
    assert [type(message.body) for message in responses] == [
        OpenRes,
        GetListRes,
        GetProfileListRes,
        GetProfileListRes,
        GetProfileListRes,
        GetProcParameterRes,
        CloseRes,
    ]
    answers = asked.accept(responses)
    assert answers is not None
    assert answers[0] == [VALUES]
    assert [len(bodies) for bodies in answers] == [1, 3, 1]


def test_a_file_that_answers_something_else_is_passed_over() -> None:
    pushed = [Message(transaction_id=b"x", body=VALUES)]
    assert enquiry(*ASKED).accept(pushed) is None


def test_requests_that_cannot_be_answered_are_refused_by_number() -> None:
    responder = Responder(SERVER, TABLE)
    refusals: list[tuple[Request, Attention]] = [
        (GetProcParameterReq(tree_path=(b"?",)), Attention.CANNOT_READ),
        (GetListReq(client_id=b"me", server_id=b"other"), Attention.NO_SUCH_SERVER),
        (SetProcParameterReq(tree_path=(), tree=Tree(b"")), Attention.UNKNOWN_MESSAGE),
    ]
    for request, attention in refusals:
        asked = enquiry(request)
        with pytest.raises(RequestRefused) as refusal:
            asked.accept(responder.respond(asked.messages()))
        assert refusal.value.attention.number == attention.value


def test_a_confirmation_is_an_answer() -> None:
    def confirm(request: Request) -> Iterable[Body]:
        return [AttentionRes(server_id=SERVER, number=Attention.OK.value)]

    asked = enquiry(SetProcParameterReq(tree_path=(), tree=Tree(b"")))
    answers = asked.accept(
        Responder(SERVER, {SetProcParameterReq: confirm}).respond(asked.messages())
    )
    assert answers is not None
    assert Attention.OK.is_confirmation
    assert not Attention.CANNOT_READ.is_confirmation


def test_nobody_is_answered_without_being_admitted() -> None:
    responder = Responder(SERVER, TABLE, admits=lambda user, password: password == b"secret")
    asked = enquiry(*ASKED)
    assert asked.accept(responder.respond(asked.messages()))
    stranger = replace(asked, password=b"guess")
    responses = responder.respond(stranger.messages())
    assert [type(m.body) for m in responses] == [OpenRes, AttentionRes, CloseRes]
    with pytest.raises(RequestRefused):
        stranger.accept(responses)
    assert "secret" not in repr(asked)


def test_a_file_that_does_not_open_is_refused() -> None:
    messages = [m for m in enquiry(*ASKED).messages() if not isinstance(m.body, OpenReq)]
    responses = Responder(SERVER, TABLE).respond(messages)
    assert all(isinstance(m.body, AttentionRes | CloseRes) for m in responses)


@pytest.mark.parametrize(
    ("order", "answered"),
    [(0x00, [True, True]), (0x01, [False, True]), (0x02, [True, False]), (0xFF, [False, False])],
)
def test_a_refusal_stops_what_abort_on_error_says(order: int, answered: list[bool]) -> None:
    wrong = GetProcParameterReq(tree_path=(b"?",))
    right = GetListReq(client_id=b"me")
    bodies: list[tuple[int, Body]] = [
        (0, OpenReq(client_id=b"me", request_file_id=b"1")),
        (1, wrong),
        (1, right),
        (2, right),
    ]
    messages = [
        Message(transaction_id=b"%d" % number, group=group, abort_on_error=order, body=body)
        for number, (group, body) in enumerate(bodies)
    ]
    closing = Message(transaction_id=b"9", body=CloseReq())
    responses = Responder(SERVER, TABLE).respond([*messages, closing])
    assert isinstance(responses[-1].body, CloseRes)
    served = {m.transaction_id for m in responses if isinstance(m.body, GetListRes)}
    assert [b"2" in served, b"3" in served] == answered


def test_an_answer_left_out_is_noticed() -> None:
    asked = enquiry(*ASKED)
    responses = Responder(SERVER, TABLE).respond(asked.messages())
    with pytest.raises(SessionError, match="GetListReq"):
        asked.accept([m for m in responses if not isinstance(m.body, GetListRes)])


async def running(responder: Responder) -> tuple[asyncio.Server, int]:
    server = await serve(responder, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_a_client_fetches_values_over_tcp() -> None:
    async def journey() -> None:
        server, port = await running(Responder(SERVER, TABLE))
        async with server, await connect("127.0.0.1", port, client_id=b"me") as client:
            for _ in range(3):
                [values], periods, [tree] = await client.ask(ASKED, server_id=SERVER)
                assert values == VALUES
                assert len(periods) == 3
                assert isinstance(tree, GetProcParameterRes)
            with pytest.raises(RequestRefused):
                await client.ask([GetProcParameterReq(tree_path=(b"?",))])
            assert await client.ask(ASKED[:1]) == [[VALUES]]

    asyncio.run(journey())


def test_a_client_notices_when_the_line_ends() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(encode_frame(encode_file([Message(transaction_id=b"x", body=VALUES)])))
        await writer.drain()
        writer.close()

    async def journey() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, await connect("127.0.0.1", port) as client:
            with pytest.raises(ConnectionLost):
                await client.ask(ASKED)

    asyncio.run(journey())


def test_a_client_does_not_wait_for_ever() -> None:
    async def journey() -> None:
        reader, (server, port) = asyncio.StreamReader(), await running(Responder(SERVER, {}))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        client = SmlClient(reader, writer, client_id=b"me")  # what is sent back is never read
        with pytest.raises(SessionError, match="within"):
            await client.ask(ASKED, timeout=0.05)
        await client.close()
        server.close()

    asyncio.run(journey())
