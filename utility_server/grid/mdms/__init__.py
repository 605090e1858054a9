# SPDX-License-Identifier: Apache-2.0
"""The meter data management system: sums of regions, kept sealed, and what operators ask of them.

It holds the Paillier key and opens sums only; a home's own use never comes here.
"""

from utility_server.grid.mdms.aggregates import Aggregate, Place
from utility_server.grid.mdms.balance import Balance, Losses, balance, read_feeder
from utility_server.grid.mdms.errors import (
    AggregateMissing,
    BudgetSpent,
    ForecastImpossible,
    MdmsError,
)
from utility_server.grid.mdms.forecasts import Accuracy, Forecast, evaluate, forecast
from utility_server.grid.mdms.group_value import Worth, WorthPlace
from utility_server.grid.mdms.load_curve_svg import Line, draw
from utility_server.grid.mdms.load_curves import LoadCurve, Statistics, load_curve, statistics
from utility_server.grid.mdms.publishing import Mechanism, Published, Publisher
from utility_server.grid.mdms.store import AggregateStore, Rotation

__all__ = [
    "Accuracy",
    "Aggregate",
    "AggregateMissing",
    "AggregateStore",
    "Balance",
    "BudgetSpent",
    "Forecast",
    "ForecastImpossible",
    "Line",
    "LoadCurve",
    "Losses",
    "MdmsError",
    "Mechanism",
    "Place",
    "Published",
    "Publisher",
    "Rotation",
    "Statistics",
    "Worth",
    "WorthPlace",
    "balance",
    "draw",
    "evaluate",
    "forecast",
    "load_curve",
    "read_feeder",
    "statistics",
]
