# SPDX-License-Identifier: Apache-2.0
"""What the resident sees: readings, bills, releases, tariffs, each as plain values."""
