# SPDX-License-Identifier: Apache-2.0
"""POSTs and replies as header fields and bodies: what may go together, and what may not."""

import pytest

from protocols.remote_admin.errors import MalformedTarget, ProtocolViolated
from protocols.remote_admin.http import (
    ANSWERS,
    COMMANDS,
    PROTOCOL,
    AgentPost,
    ScriptStatus,
    ServerReply,
    Target,
)
from protocols.remote_admin.scripts import CommandScript, ResponseScript

SCRIPT = CommandScript((bytes(4),)).encode()
DONE = ResponseScript((b"\x90\x00",)).encode()
TARGET = Target(bytes.fromhex("A000000151535041"))


def test_a_first_post_says_who_and_nothing_else() -> None:
    post = AgentPost("/gp/aa?step=0", "hub-1")
    assert post.headers() == [
        (b"X-Admin-Protocol", PROTOCOL.encode()),
        (b"X-Admin-From", b"hub-1"),
    ]
    assert AgentPost.read(post.uri, post.headers(), b"") == post


@pytest.mark.parametrize(
    "post",
    [
        AgentPost("/a?b=1", "hub", ScriptStatus.OK, body=DONE),
        *[AgentPost("/a?b=1", "hub", one) for one in ScriptStatus if one is not ScriptStatus.OK],
        AgentPost("/a?b=1", "hub", ScriptStatus.SCRIPT_FORMAT_ERROR, body=DONE),
        AgentPost("/a?b=1", "hub", is_resumed=True),
    ],
)
def test_a_post_is_read_as_it_was_written(post: AgentPost) -> None:
    shouted = [(name.upper(), b" " + value + b"\t") for name, value in reversed(post.headers())]
    unknown = [(b"x-forwarded-for", b"\xff"), (b"x-forwarded-for", b"2")]
    assert AgentPost.read(post.uri, [*shouted, *unknown], post.body) == post


@pytest.mark.parametrize(
    "reply",
    [
        ServerReply("/a?b=2", TARGET, SCRIPT),
        ServerReply(None, TARGET, SCRIPT),
        ServerReply("/a?b=2"),
        ServerReply("/a?b=2", retry_after=3),
        ServerReply(),
        ServerReply(retry_after=900),
    ],
)
def test_a_reply_is_read_as_it_was_written(reply: ServerReply) -> None:
    assert reply.status == (200 if reply.body else 204)
    headers = [(name.lower(), value) for name, value in reply.headers()]
    assert ServerReply.read(reply.status, headers, reply.body) == reply
    # Nothing of a script without one.
    assert (b"content-type" in dict(headers)) == bool(reply.body)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"x-admin-protocol": PROTOCOL}, b""),  # from nobody
        ({"x-admin-protocol": "globalplatform-remote-admin/2.0", "x-admin-from": "h"}, b""),
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": ""}, b""),
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": "h h"}, b""),
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": "h" * 257}, b""),
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": "h", "x-admin-resume": "yes"}, b""),
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": "h", "x-admin-script-status": "OK"}, b""),
        # ok without answers, answers without ok, answers of another type, answers that resume
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": "h", "x-admin-script-status": "ok"}, b""),
        ({"x-admin-protocol": PROTOCOL, "x-admin-from": "h", "content-type": ANSWERS}, DONE),
        (
            {
                "x-admin-protocol": PROTOCOL, "x-admin-from": "h", "content-type": ANSWERS,
                "x-admin-script-status": "security-error",
            },
            DONE,
        ),
        (
            {
                "x-admin-protocol": PROTOCOL, "x-admin-from": "h", "content-type": COMMANDS,
                "x-admin-script-status": "ok",
            },
            DONE,
        ),
        (
            {
                "x-admin-protocol": PROTOCOL, "x-admin-from": "h", "content-type": ANSWERS,
                "x-admin-script-status": "ok", "x-admin-resume": "true",
            },
            DONE,
        ),
    ],
)  # fmt: skip
def test_what_is_no_post_of_an_agent_is_refused(headers: dict[str, str], body: bytes) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    with pytest.raises(ProtocolViolated):
        AgentPost.read("/a?b=1", encoded, body)


def test_a_field_that_comes_twice_is_refused() -> None:
    post = AgentPost("/a?b=1", "hub")
    with pytest.raises(ProtocolViolated, match="twice"):
        AgentPost.read(post.uri, [*post.headers(), (b"x-admin-from", b"other")], b"")


@pytest.mark.parametrize(
    ("status", "more", "body"),
    [
        (200, {}, b""),  # a script that is empty
        (204, {}, SCRIPT),
        (200, {"content-type": ANSWERS}, SCRIPT),
        (200, {"content-type": "text/html"}, SCRIPT),
        (200, {"content-type": COMMANDS, "x-admin-targeted-application": "//aid/A0/"}, SCRIPT),
        (404, {}, b""),
        (500, {}, b""),
        (302, {}, b""),
        (204, {"x-admin-next-uri": "https://elsewhere.example/a?b=1"}, b""),
        (204, {"x-admin-next-uri": "//elsewhere.example/a?b=1"}, b""),
        (204, {"x-admin-next-uri": "/a b"}, b""),
        (204, {"x-admin-next-uri": "/a#b"}, b""),
        (204, {"x-admin-next-uri": "/" + "a" * 1024}, b""),
        (204, {"x-admin-next-uri": ""}, b""),
    ],
)
def test_what_is_no_reply_of_a_server_is_refused(
    status: int, more: dict[str, str], body: bytes
) -> None:
    headers = {"x-admin-protocol": PROTOCOL, **more}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    with pytest.raises(ProtocolViolated):
        ServerReply.read(status, encoded, body)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("900", 900), ("999999", 604_800), ("-1", None), ("09", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("1e3", None), ("99999999999", None)],
)  # fmt: skip
def test_a_wait_is_a_number_of_seconds_a_week_at_most_or_none(
    text: str, seconds: int | None
) -> None:
    headers = [(b"x-admin-protocol", PROTOCOL.encode()), (b"retry-after", text.encode())]
    assert ServerReply.read(204, headers, b"").retry_after == seconds


@pytest.mark.parametrize(
    ("text", "aid"),
    [
        ("//aid/A000000151/53504100", "A00000015153504100"),
        ("//aid/a000000151/0001", "A0000001510001"),
        ("//aid/0000000000/", "0000000000"),
        ("//aid/A000000559/1010FFFFFFFF8900000100", "A0000005591010FFFFFFFF8900000100"),
    ],
)
def test_a_target_is_an_aid_in_two_parts_and_leading_zeros_count(text: str, aid: str) -> None:
    target = Target.parse(text)
    assert target.aid.hex().upper() == aid
    assert str(target) == "//aid/" + text.removeprefix("//aid/").upper()


@pytest.mark.parametrize(
    "text",
    ["", "//aid/", "//aid/A00000015/1", "//aid/A000000151", "//aid/A000000151/5", "//se-id/1/2",
     "//aid/A000000151/" + "00" * 12, "//aid/A00000015G/00", "//aid/A000000151/00 "],
)  # fmt: skip
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(MalformedTarget):
        Target.parse(text)
