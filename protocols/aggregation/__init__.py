# SPDX-License-Identifier: Apache-2.0
"""Sums over households of which nobody learns more than the sum, and nobody can falsify it.

From the bottom: `paillier` and `packing` (encryption), `masks` (what cancels in the sum), `members`
and `round` (who takes part in what), `weighting` (at which prices, if at any), `loads` (what the
certifiers sign), `messages`; then the parts of the three parties: `household` with its `rules` and
`load_ranges`, `collector` (the concentrator), `decryption` (the operator) and `dispute` (who
spoiled a sum). A `split_key` needs a trustee: `partial_decryption`, `trusteeship`.
docs/aggregation.md tells it whole. Import names from their modules.
"""
