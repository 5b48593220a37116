"""What tests with damaged records may ask for."""

from __future__ import annotations

from tests.support.nudged_collection import nudged_collection, shared_nudged_collection

__all__ = ["nudged_collection", "shared_nudged_collection"]
