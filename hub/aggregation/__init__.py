# SPDX-License-Identifier: Apache-2.0
"""The hub's part in private sums: what it has taken part in, and what it refuses to add to that."""

from hub.aggregation.record import AGGREGATION_COMPONENT, Participation, RoundRecord
from hub.aggregation.service import HubAggregation

__all__ = ["AGGREGATION_COMPONENT", "HubAggregation", "Participation", "RoundRecord"]
