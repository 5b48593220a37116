"""The settings of a canary."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nudge_sync.settings.canary import CanarySettings


def test_a_split_of_everybody_is_refused():
    with pytest.raises(ValidationError, match="somebody has to be compared"):
        CanarySettings(mode="split", share=1.0)
    assert CanarySettings(mode="interleave", share=1.0).share == 1.0
