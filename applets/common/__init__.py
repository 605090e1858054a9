# SPDX-License-Identifier: Apache-2.0
"""What applets that answer about periods share: the form of question and answer, and its checks.

`messages` goes into the machine with an applet, `evidence` is for the recipient's side.
"""
