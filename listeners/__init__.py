# SPDX-License-Identifier: Apache-2.0
"""How servers of hub and utility listen: whom they let in, and how long they wait for whom."""
