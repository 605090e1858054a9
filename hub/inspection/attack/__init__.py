# SPDX-License-Identifier: Apache-2.0
"""What could be inferred: the same attack on the house's own curve and on each recipient's."""
