"""What a cosine collection stores as it is."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector import Points
from nudge_sync.errors import InputError
from nudge_sync.testing.engine import unit_rows
from nudge_sync_qdrant_common.cosine import refuse_rescaled


def test_cosine_takes_unit_rows_and_zeros():
    vectors = unit_rows(3, seed=0)
    vectors[2] = 0
    refuse_rescaled(Points([0, 1, 2], vectors), '"docs"')
    with pytest.raises(InputError, match=r'point 1 in "docs".*unit'):
        refuse_rescaled(Points([0, 1, 2], vectors * np.float32([[1], [1.000002], [1]])), '"docs"')
