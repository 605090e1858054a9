# SPDX-License-Identifier: Apache-2.0
"""Settlement: what a period's use was worth at the grid's price index, proved."""
