# SPDX-License-Identifier: Apache-2.0
"""The grid operator's side: sums over many homes, and the parties that make them."""
