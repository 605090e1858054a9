# SPDX-License-Identifier: Apache-2.0
"""The packages that applets travel in, and the host tool that loads them."""
