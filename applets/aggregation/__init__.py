# SPDX-License-Identifier: Apache-2.0
"""Private sums: a household's part in a region's load curve, of which nobody learns more."""
