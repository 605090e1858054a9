# SPDX-License-Identifier: Apache-2.0
"""The utility as a service: its programming interface, its long runs and the operator's console."""
