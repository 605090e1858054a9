# SPDX-License-Identifier: Apache-2.0
"""What the resident reads, in four languages."""
