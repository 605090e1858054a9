# SPDX-License-Identifier: Apache-2.0
"""Readings and bills in files, each of them on record."""
