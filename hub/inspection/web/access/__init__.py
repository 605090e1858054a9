# SPDX-License-Identifier: Apache-2.0
"""Who may look: residents, sessions, signing in, and what slows down whoever guesses."""
