# SPDX-License-Identifier: Apache-2.0
"""Files of readings as suppliers, meters and programs give them out, read strictly.

    content       bytes to text: packed or not, in whichever encoding
    cells         decimals and units
    moments       times, in one column or two, on a clock
    opened        what is asked of a file, and what a reader makes of it
    table         CSV: where the header is, what separates cells
    columns       any table of intervals or of a register
    day_rows      a row a day
    green_button, nem12, suppliers, programs      formats with a name
    recognise     which of them a file is

A reader takes what is certain and says so; where two readings of a file are possible it refuses
and names the option that decides.
"""
