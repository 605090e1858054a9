# SPDX-License-Identifier: Apache-2.0
"""What can go wrong at the meter data management system.

MdmsError
  AggregateMissing     no sum of that region and time is stored
  BudgetSpent          publishing more would tell more of each home than the region's budget allows
  ForecastImpossible   too little is stored to forecast from
"""

from utility_server.errors import UtilityError


class MdmsError(UtilityError):
    """Base of the MDMS's own errors."""


class AggregateMissing(MdmsError):
    """What was asked for has not been aggregated."""

    exit_code = 4


class BudgetSpent(MdmsError):
    """The region's privacy budget does not cover what was asked for."""

    exit_code = 5


class ForecastImpossible(MdmsError):
    """A forecast needs more history, or a package that is not installed."""
