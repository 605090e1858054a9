# SPDX-License-Identifier: Apache-2.0
"""Long runs: kept in the database, worked on in slices, resumed by whichever process is there."""
