# SPDX-License-Identifier: Apache-2.0
"""Servers of one's own, for trying the whole service out on one machine."""
