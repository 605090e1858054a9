# SPDX-License-Identifier: Apache-2.0
"""The profiling applet: says which profile a household is like, and never sees a reading.

An `AskingApplet`: the document is a request with profiles, the numbers are what its method tells.
"""

from collections.abc import Sequence

from applets.common.asking import OneProofApplet
from applets.profiling.messages import ProfilingAnswer, ProfilingQuestion, ProfilingRequest
from applets.profiling.profiles import ProfilesMalformed
from protocols.amounts import NumberAmount


class ProfilingApplet(OneProofApplet[ProfilingRequest]):
    """Answers with a match, scores or a sample, and their proof."""

    question = ProfilingQuestion
    proved = ProfilingAnswer
    signer_key = b"resident/recipient-key"
    documents = b"resident/request/"
    malformed = ProfilesMalformed

    def decode(self, payload: bytes) -> ProfilingRequest:
        """Return the request that was signed."""
        return ProfilingRequest.decode(payload)

    def numbers(
        self, document: ProfilingRequest, starts: Sequence[int], slot_seconds: int
    ) -> Sequence[NumberAmount]:
        """Return what the method tells."""
        return document.numbers(starts, slot_seconds)
