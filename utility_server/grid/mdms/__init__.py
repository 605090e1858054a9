# SPDX-License-Identifier: Apache-2.0
"""The meter data management system: sums of regions, kept sealed, and what operators ask of them.

It holds the Paillier key and opens sums only; a home's own use never comes here.
"""
