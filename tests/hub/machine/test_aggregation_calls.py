# SPDX-License-Identifier: Apache-2.0
"""An applet's way to sums over households: for manifests that name them, within limits."""

from dataclasses import replace

import pytest

from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from protocols.platform.errors import Refusal, Refused
from tests.support.applet_machine import MANIFEST, Device, bundle, command

BODY = """
def process(self, command):
    rounds = self.platform.aggregation
    match command.ins:
        case 1: answer = rounds.tell_keys(command.data)
        case 2: answer = rounds.contribute(b"operator", command.data)
        case 3: answer = rounds.agree(command.data)
        case 4: answer = rounds.open_sum(command.data, b"agreements")
        case 5: answer = rounds.show_points(command.data)
        case 6: answer = rounds.show_key(command.data, b"points")
        case 7: answer = rounds.agree(bytes(300_000))
    return Response(answer)
"""
AGGREGATE = MANIFEST.replace('kind = "linear"', 'kind = "aggregate"\nsmallest_group = 5')


class Rounds:
    """Answers with what it was asked."""

    def tell_keys(self, nonce: bytes) -> bytes:
        return b"keys " + nonce

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        return b"contribution " + operator + announced

    def agree(self, contributors: bytes) -> bytes:
        return b"agreement " + contributors

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        return b"opening " + contributors + agreements

    def show_points(self, contributors: bytes) -> bytes:
        return b"points " + contributors

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        raise Refused(Refusal.NO_CONSENT)


def started(machine: AppletMachine, manifest: str) -> AppletInstance:
    platform = replace(Device().platform, aggregation=Rounds())
    return machine.instance(bundle(BODY, manifest=manifest), platform)


@pytest.fixture(scope="module")
def applet(machine: AppletMachine) -> AppletInstance:
    return started(machine, AGGREGATE)


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        (1, b"keys \x00\xff\x90\x00"),
        (2, b"contribution operator\x00\xff\x90\x00"),
        (3, b"agreement \x00\xff\x90\x00"),
        (4, b"opening \x00\xffagreements\x90\x00"),
        (5, b"points \x00\xff\x90\x00"),
        (6, b"\x69\x85"),
        (7, b"\x6a\x84"),
    ],
)
def test_each_step_reaches_the_platform_and_its_answer_or_refusal_the_applet(
    applet: AppletInstance, step: int, answer: bytes
) -> None:
    assert applet.process(command(step, b"\x00\xff")) == answer


def test_a_manifest_that_names_no_aggregates_is_granted_none(machine: AppletMachine) -> None:
    applet = started(machine, MANIFEST)
    for step in range(1, 7):
        assert applet.process(command(step, b"x")) == b"\x69\x82"


@pytest.mark.parametrize("smallest", ["", "smallest_group = 2"])
def test_an_aggregate_names_a_group_of_three_or_more(smallest: str) -> None:
    manifest = MANIFEST.replace('kind = "linear"', f'kind = "aggregate"\n{smallest}')
    with pytest.raises(Exception, match="smallest_group: must be 3 or more"):
        bundle(BODY, manifest=manifest)


def test_no_other_statement_names_a_group() -> None:
    manifest = MANIFEST.replace('kind = "linear"', 'kind = "linear"\nsmallest_group = 5')
    with pytest.raises(Exception, match="goes with sums over households alone"):
        bundle(BODY, manifest=manifest)
