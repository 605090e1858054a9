# SPDX-License-Identifier: Apache-2.0
"""A searcher for what breaks the promise to the resident: it does not know how the guard keeps it.

It makes up a home, consents and questions, asks the release guard through its public doors, and
attacks all that was permitted: by linear algebra, by lattices and by integer programs, with
nothing but the answers and what everybody knows. It then holds what came out against the readings.

    world       a home that is made up: what everybody knows of it, and its readings
    facts       what an answer says about the readings
    doors       the guard's public doors; the one module that knows its requests
    algebra     what answers determine by linear algebra
    lattice     which values a sum can have, given whole numbers and bounds
    programs    the same where answers are no weighted sums
    attack      all engines, one after the other, on what some recipients were told
    promise     what was promised, and whether an attack broke it
    attacker    what every strategy draws from
    strategies  questions that an attacker would ask
    coins       the same about numbers that are told in coins
    episode     one home, one strategy, from consents to findings
    search      episodes until the time is over

`python -m tests.attacks.search --seconds 60 --seed 1` runs it. Each finding names its seed, and
`--only SEED` runs that episode again.
"""
