# SPDX-License-Identifier: Apache-2.0
"""The opening of a region's sum as work for another process: from the batch to verified values.

It may be repeated: what goes out is the round and the batch as they are encoded, what comes back is
the sum. The key does not travel. Who opens reads it from the MDMS's folder. A key that is split is
opened with the trustee, and so not there.
"""

from collections.abc import Callable
from pathlib import Path

from protocols.aggregation.collector import Batch
from protocols.aggregation.decryption import RegionSum, decrypt_sum
from protocols.aggregation.paillier import PaillierPrivateKey
from protocols.aggregation.round import Round
from utility_server.errors import StoreError
from utility_server.grid.mdms.workspace import read_paillier

Opener = Callable[[Round, bytes], RegionSum]
"""Opens a round's batch; raises `AggregationError` or `UtilityError` where it cannot."""


def open_batch(folder: Path, item: tuple[bytes, bytes]) -> RegionSum:
    """Return the sum that a round's batch opens, with the key of the MDMS in a folder.

    Raises as `decrypt_sum`, and `StoreError` where the key is split.
    """
    announced, batch = item
    key = read_paillier(folder / "keys")
    if not isinstance(key, PaillierPrivateKey):
        raise StoreError(f"{folder}: a share of a key opens nothing by itself")
    return decrypt_sum(Round.decode(announced), Batch.decode(batch), key)
