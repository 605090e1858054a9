# SPDX-License-Identifier: Apache-2.0
"""Codecs for meters that speak neither SML nor DLMS: P1, M-Bus and Current Cost."""
