# SPDX-License-Identifier: Apache-2.0
"""The server's dialogue: errands go out step by step, and come back once each."""

from collections.abc import Sequence

import pytest

from protocols.remote_admin.http import AgentPost, ScriptStatus, ServerReply, Target
from protocols.remote_admin.scripts import CommandScript, Fault, ResponseScript
from protocols.remote_admin.server import MOST_ERRANDS, AdminDialogue, Errand, Waits
from protocols.secure_channel.conversation import Conversation, Pause, Transmit
from protocols.secure_channel.errors import CardRefused, RemoteChannelError

A, B = bytes.fromhex("F04D544C010101"), bytes.fromhex("F04D544C010102")
PATH = "/gp/aa"
FIRST = AgentPost(f"{PATH}?step=0", "hub")
FINE = b"\x90\x00"


class Desk:
    """Errands that note what came back."""

    def __init__(self, *plans: Sequence[Transmit | Pause]) -> None:
        self.plans, self.begun = list(plans), 0
        self.heard: list[object] = []
        self.done: list[int] = []

    def next(self) -> Errand | None:
        for number, plan in enumerate(self.plans):
            if number not in self.done:
                self.begun += 1
                return self._errand(number, plan)
        return None

    def _errand(self, number: int, plan: Sequence[Transmit | Pause]) -> Conversation[None]:
        for step in plan:
            try:
                self.heard.append((yield step))
            except (CardRefused, RemoteChannelError) as error:
                self.heard.append(error)
                self.done.append(number)
                raise
        self.done.append(number)

    def dialogue(self) -> AdminDialogue:
        return AdminDialogue(PATH, "d1", self.next, lambda: Waits(pause=2, poll=900))


def select(aid: bytes) -> Transmit:
    return Transmit((b"\x00\xa4\x04\x00\x07" + aid,), aid)


def command(number: int, *more: int) -> Transmit:
    return Transmit(tuple(bytes((0x80, one, 0, 0)) for one in (number, *more)))


def answers(reply: ServerReply, *given: bytes, fault: Fault | None = None) -> AgentPost:
    assert reply.next_uri is not None
    body = ResponseScript(given, fault=fault).encode()
    return AgentPost(reply.next_uri, "hub", ScriptStatus.OK, body=body)


def test_an_errand_is_scripts_for_its_target_and_answers_in_the_next_posts() -> None:
    desk = Desk([select(A), command(1), command(2, 3)])
    dialogue = desk.dialogue()
    first = dialogue.receive(FIRST)
    assert (first.target, first.body) == (Target(A), CommandScript(command(1).apdus).encode())
    second = dialogue.receive(answers(first, FINE))
    assert CommandScript.decode(second.body).apdus == command(2, 3).apdus
    end = dialogue.receive(answers(second, b"ab" + FINE, b"\x6a\x88"))
    assert end == ServerReply(retry_after=900)
    assert dialogue.is_over
    assert desk.heard == [[FINE], [FINE], [b"ab" + FINE, b"\x6a\x88"]]


def test_the_next_errand_follows_in_the_same_dialogue_with_its_own_target() -> None:
    desk = Desk([select(A), command(1)], [select(B), command(2)])
    dialogue = desk.dialogue()
    first = dialogue.receive(FIRST)
    second = dialogue.receive(answers(first, FINE))
    assert (first.target, second.target) == (Target(A), Target(B))
    assert dialogue.receive(answers(second, FINE)).next_uri is None


def test_a_card_that_works_is_asked_again_after_a_wait() -> None:
    desk = Desk([select(A), command(1), Pause(), command(1)])
    dialogue = desk.dialogue()
    waiting = dialogue.receive(answers(dialogue.receive(FIRST), b"\x93\x00"))
    assert (waiting.status, waiting.retry_after) == (204, 2)
    assert waiting.next_uri is not None
    again = dialogue.receive(AgentPost(waiting.next_uri, "hub"))
    assert CommandScript.decode(again.body).apdus == command(1).apdus
    assert dialogue.receive(answers(again, FINE)).next_uri is None


def test_each_wait_for_a_card_is_twice_as_long_up_to_a_minute() -> None:
    plan = [step for _ in range(8) for step in (command(1), Pause())]
    desk = Desk([select(A), *plan, command(1)], [select(A), command(2), Pause(), command(2)])
    dialogue = desk.dialogue()
    reply, waits = dialogue.receive(FIRST), []
    while (uri := reply.next_uri) is not None:
        if reply.retry_after is None:
            reply = dialogue.receive(answers(reply, b"\x93\x00"))
        else:
            waits.append(reply.retry_after)
            reply = dialogue.receive(AgentPost(uri, "hub"))
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60, 2]


def test_answers_that_come_twice_get_the_same_reply_and_count_once() -> None:
    desk = Desk([select(A), command(1), command(2)])
    dialogue = desk.dialogue()
    post = answers(dialogue.receive(FIRST), FINE)
    reply = dialogue.receive(post)
    assert dialogue.is_current(post)
    assert dialogue.receive(post) is reply
    assert len(desk.heard) == 2


def test_answers_to_an_earlier_step_begin_anew_and_are_not_taken() -> None:
    desk = Desk([select(A), command(1), command(2), command(3)])
    dialogue = desk.dialogue()
    early = answers(dialogue.receive(FIRST), FINE)
    late = answers(dialogue.receive(early), FINE)
    dialogue.receive(late)
    assert not dialogue.is_current(early)
    reply = dialogue.receive(early)
    assert CommandScript.decode(reply.body).apdus == command(1).apdus
    assert desk.begun == 2
    assert len(desk.heard) == 4  # the last heard is the selection of the second time


def test_a_session_that_is_resumed_begins_its_errand_anew() -> None:
    desk = Desk([select(A), command(1), command(2)])
    dialogue = desk.dialogue()
    first = dialogue.receive(FIRST)
    dialogue.receive(answers(first, FINE))
    assert first.next_uri is not None
    reply = dialogue.receive(AgentPost(first.next_uri, "hub", is_resumed=True))
    assert CommandScript.decode(reply.body).apdus == command(1).apdus
    assert reply.next_uri != first.next_uri
    assert desk.begun == 2


def test_a_first_post_in_the_middle_begins_anew_and_so_do_answers_that_are_missing() -> None:
    desk = Desk([select(A), command(1), command(2)])
    dialogue = desk.dialogue()
    reply = dialogue.receive(answers(dialogue.receive(FIRST), FINE))
    again = dialogue.receive(FIRST)
    assert CommandScript.decode(again.body).apdus == command(1).apdus
    assert again.next_uri is not None
    anew = dialogue.receive(AgentPost(again.next_uri, "hub"))  # no status: nothing was run
    assert CommandScript.decode(anew.body).apdus == command(1).apdus
    assert reply.next_uri not in {again.next_uri, anew.next_uri}


@pytest.mark.parametrize("status", [one for one in ScriptStatus if one is not ScriptStatus.OK])
def test_a_script_that_was_not_run_is_an_error_in_its_errand_and_the_next_one_follows(
    status: ScriptStatus,
) -> None:
    desk = Desk([select(A), command(1)], [select(B), command(2)])
    dialogue = desk.dialogue()
    first = dialogue.receive(FIRST)
    assert first.next_uri is not None
    reply = dialogue.receive(AgentPost(first.next_uri, "hub", status))
    error = desk.heard[1]
    assert isinstance(error, CardRefused | RemoteChannelError)
    assert isinstance(error, CardRefused) == (status is ScriptStatus.UNKNOWN_APPLICATION)
    assert reply.target == Target(B)


@pytest.mark.parametrize(
    ("given", "fault"),
    [((), Fault.UNKNOWN_TAG), ((FINE, FINE, FINE), None), ((), Fault.SUSPENDED)],
)
def test_no_answer_or_more_than_were_asked_for_is_an_error(
    given: tuple[bytes, ...], fault: Fault | None
) -> None:
    desk = Desk([select(A), command(1, 2)])
    dialogue = desk.dialogue()
    assert dialogue.receive(answers(dialogue.receive(FIRST), *given, fault=fault)).status == 204
    assert isinstance(desk.heard[1], RemoteChannelError)


def test_a_body_that_is_no_script_is_an_error_in_the_errand() -> None:
    desk = Desk([select(A), command(1)])
    dialogue = desk.dialogue()
    first = dialogue.receive(FIRST)
    assert first.next_uri is not None
    dialogue.receive(AgentPost(first.next_uri, "hub", ScriptStatus.OK, body=b"AB"))
    assert isinstance(desk.heard[1], RemoteChannelError)


def test_an_errand_that_breaks_closes_the_dialogue() -> None:
    def broken() -> Conversation[None]:
        yield select(A)
        raise ZeroDivisionError

    dialogue = AdminDialogue(PATH, "d1", broken)
    with pytest.raises(ZeroDivisionError):
        dialogue.receive(FIRST)
    assert dialogue.is_over


def test_errands_in_one_dialogue_have_an_end() -> None:
    desk = Desk(*[[select(A), command(1)]] * (MOST_ERRANDS + 10))
    dialogue = desk.dialogue()
    reply = dialogue.receive(FIRST)
    while reply.next_uri is not None:
        reply = dialogue.receive(answers(reply, FINE))
    assert len(desk.done) == MOST_ERRANDS


def test_what_is_dropped_is_closed() -> None:
    closed = []

    def errand() -> Conversation[None]:
        try:
            yield select(A)
            yield command(1)
        finally:
            closed.append(True)

    dialogue = AdminDialogue(PATH, "d1", errand)
    dialogue.receive(FIRST)
    dialogue.close()
    assert closed == [True]
