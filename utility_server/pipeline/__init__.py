# SPDX-License-Identifier: Apache-2.0
"""From kept answers to entered bills: the queue between who receives and who verifies.

The database is the truth. A queue carries the nonces of answers that are kept there, and may lose
or repeat them at any time: what it lost is found again, and what comes twice is entered once.
"""
