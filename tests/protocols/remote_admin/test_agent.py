# SPDX-License-Identifier: Apache-2.0
"""The agent: what it does with each kind of reply, and after a breakdown at each point."""

import pytest

from protocols.remote_admin.agent import AdminAgent, RetryPolicy, RunScript, SendPost, SessionEnd
from protocols.remote_admin.errors import ProtocolViolated, SequenceError
from protocols.remote_admin.http import AgentPost, ScriptStatus, ServerReply, Target
from protocols.remote_admin.scripts import CommandScript, Fault, ResponseScript

FIRST = "/gp/aa?step=0"
TARGET = Target(bytes.fromhex("F04D544C010101"))
SCRIPT = CommandScript((b"\x80\x10\x00\x00",))
ANSWERS = ResponseScript((b"\x90\x00",))
POLICY = RetryPolicy(connections=2, connection_wait=3, sessions=2, session_wait=7)


def scripted(next_uri: str | None, script: CommandScript = SCRIPT) -> ServerReply:
    return ServerReply(next_uri, TARGET, script.encode())


def started(policy: RetryPolicy | None = None) -> AdminAgent:
    agent = AdminAgent("hub", FIRST, policy)
    assert agent.start() == SendPost(AgentPost(FIRST, "hub"), is_new_connection=True)
    agent.posted()
    return agent


def running(agent: AdminAgent, reply: ServerReply) -> RunScript:
    action = agent.receive(reply)
    assert isinstance(action, RunScript)
    return action


def test_a_script_with_a_next_uri_is_run_and_its_answers_are_posted_there() -> None:
    agent = started()
    wanted = running(agent, scripted("/gp/aa?step=1"))
    assert wanted == RunScript(TARGET, SCRIPT, is_last=False)
    action = agent.ran(ANSWERS)
    assert isinstance(action, SendPost)
    assert action.post == AgentPost("/gp/aa?step=1", "hub", ScriptStatus.OK, body=ANSWERS.encode())
    assert not action.is_new_connection


def test_a_script_without_a_next_uri_is_run_and_nobody_is_told() -> None:
    agent = started()
    assert running(agent, scripted(None)).is_last
    assert agent.ran(ANSWERS) == SessionEnd()
    assert agent.is_over


def test_without_a_script_the_agent_asks_again_after_the_wait_and_without_a_status() -> None:
    agent = started()
    action = agent.receive(ServerReply("/gp/aa?step=1", retry_after=4))
    assert action == SendPost(AgentPost("/gp/aa?step=1", "hub"), 4)
    assert agent.receive(ServerReply("/gp/aa?step=2")) == SendPost(
        AgentPost("/gp/aa?step=2", "hub")
    )


def test_with_neither_the_session_is_over() -> None:
    agent = started()
    assert agent.receive(ServerReply(retry_after=900)) == SessionEnd(900)


@pytest.mark.parametrize("status", [one for one in ScriptStatus if one is not ScriptStatus.OK])
def test_a_script_that_was_not_run_is_told_without_a_body(status: ScriptStatus) -> None:
    agent = started()
    running(agent, scripted("/gp/aa?step=1"))
    action = agent.refused(status)
    assert isinstance(action, SendPost)
    assert (action.post.status, action.post.body) == (status, b"")


@pytest.mark.parametrize("is_indefinite", [False, True])
def test_answers_are_in_the_coding_of_the_question(is_indefinite: bool) -> None:
    agent = started()
    script = CommandScript(SCRIPT.apdus, is_indefinite)
    running(agent, scripted("/gp/aa?step=1", script))
    action = agent.ran(ANSWERS)
    assert isinstance(action, SendPost)
    assert ResponseScript.decode(action.post.body).is_indefinite is is_indefinite


def test_what_a_script_lacks_goes_with_its_sound_commands() -> None:
    agent = started()
    body = SCRIPT.encode()[:1] + b"\x09" + SCRIPT.encode()[2:] + b"\x82\x01\x01"
    wanted = running(agent, ServerReply("/gp/aa?step=1", TARGET, body))
    assert (wanted.script.apdus, wanted.script.fault) == (SCRIPT.apdus, Fault.UNKNOWN_TAG)


def test_a_body_that_is_no_script_ends_the_session() -> None:
    agent = started()
    with pytest.raises(ProtocolViolated):
        agent.receive(ServerReply("/gp/aa?step=1", TARGET, b"00 05 00A4040000"))
    assert agent.is_over


def test_a_connection_that_was_never_made_is_tried_again_as_the_first() -> None:
    agent = AdminAgent("hub", FIRST, RetryPolicy(connections=1, connection_wait=3))
    agent.start()
    again = agent.broke_down()
    assert again == SendPost(AgentPost(FIRST, "hub"), 3, is_new_connection=True)
    assert isinstance(agent.broke_down(), SessionEnd)


def test_each_attempt_at_a_session_has_its_connections() -> None:
    agent = AdminAgent("hub", FIRST, POLICY)
    agent.start()
    waits = []
    while isinstance(again := agent.broke_down(), SendPost):
        waits.append(again.after_seconds)
        assert not again.post.is_resumed  # nothing was posted: there is nothing to resume
    assert waits == [3, 3, 7, 3, 3, 7, 3, 3]


def test_a_first_post_that_may_have_come_is_repeated_and_says_so() -> None:
    agent = started(POLICY)
    again = agent.broke_down()
    assert again == SendPost(AgentPost(FIRST, "hub", is_resumed=True), 7, is_new_connection=True)
    running(agent, scripted("/gp/aa?step=1"))


def test_after_a_script_the_session_goes_on_at_its_next_uri_without_the_answers() -> None:
    agent = started(POLICY)
    running(agent, scripted("/gp/aa?step=1"))
    agent.ran(ANSWERS)
    again = agent.broke_down()
    assert isinstance(again, SendPost)
    assert again.post == AgentPost("/gp/aa?step=1", "hub", is_resumed=True)
    # The field stands in that one POST.
    running(agent, scripted("/gp/aa?step=2"))
    action = agent.ran(ANSWERS)
    assert isinstance(action, SendPost)
    assert not action.post.is_resumed


def test_a_wait_that_breaks_down_goes_on_where_the_last_script_said() -> None:
    agent = started(POLICY)
    running(agent, scripted("/gp/aa?step=1"))
    agent.ran(ANSWERS)
    agent.receive(ServerReply("/gp/aa?step=2", retry_after=1))
    again = agent.broke_down()
    assert isinstance(again, SendPost)
    assert again.post == AgentPost("/gp/aa?step=1", "hub", is_resumed=True)


def test_attempts_at_a_session_are_counted_to_its_end() -> None:
    agent = started(POLICY)
    for step in range(POLICY.sessions):
        running(agent, scripted(f"/gp/aa?step={step}"))
        agent.ran(ANSWERS)
        agent.posted()
        assert isinstance(agent.broke_down(), SendPost)
    running(agent, scripted("/gp/aa?step=9"))
    agent.ran(ANSWERS)
    agent.posted()
    end = agent.broke_down()
    assert isinstance(end, SessionEnd)
    assert "no retry is left" in end.why


def test_an_attempt_to_resume_has_connections_of_its_own() -> None:
    agent = started(POLICY)
    again = [agent.broke_down() for _ in range(3)]
    assert [one.after_seconds for one in again if isinstance(one, SendPost)] == [7, 3, 3]


def test_without_a_policy_nothing_is_tried_again() -> None:
    agent = started()
    assert isinstance(agent.broke_down(), SessionEnd)


def test_a_server_that_never_ends_is_left() -> None:
    agent = started()
    action: object = None
    for step in range(5000):
        action = agent.receive(ServerReply(f"/gp/aa?step={step}"))
        if isinstance(action, SessionEnd):
            break
    assert isinstance(action, SessionEnd)
    assert "4096 steps" in action.why


def test_calls_out_of_turn_are_our_own_bug() -> None:
    agent = AdminAgent("hub", FIRST)
    with pytest.raises(SequenceError):
        agent.receive(ServerReply())
    agent.start()
    with pytest.raises(SequenceError):
        agent.start()
    with pytest.raises(SequenceError):
        agent.ran(ANSWERS)
    agent.posted()
    running(agent, scripted("/gp/aa?step=1"))
    with pytest.raises(SequenceError):
        agent.broke_down()
    with pytest.raises(SequenceError):
        agent.receive(ServerReply())
    with pytest.raises(SequenceError):
        agent.refused(ScriptStatus.OK)
