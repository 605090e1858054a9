# SPDX-License-Identifier: Apache-2.0
"""Readers: from the bytes of each protocol to what meters say (`hub.meters.telegrams`).

decoding        what readers over a codec's decoder have in common
p1              P1 ports and the readout of IEC 62056-21, with meters behind them
dlms            pushes of DLMS/COSEM
radio_frames    what receivers of wireless M-Bus hand on, cut into frames
mbus            M-Bus on a wire, and radio frames of wireless M-Bus
current_cost    displays of Current Cost, whose sensors show power or count impulses
mqtt            plugs and sub-meters that publish what they count
"""
