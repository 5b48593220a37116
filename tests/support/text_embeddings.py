"""Texts and vectors for wrapped retrievers: no model, the same numbers on every machine."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

DIMENSION = 16
TEXTS = [f"{wing} wings at {speed}" for wing in ("swept", "delta", "straight") for speed in "abcd"]


def embed_text(text: str) -> list[float]:
    """A unit vector that the text's words add up to."""
    total = np.zeros(DIMENSION)
    for word in text.split():
        seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
        total += np.random.default_rng(seed).normal(size=DIMENSION)
    return (total / np.linalg.norm(total)).astype(np.float32).tolist()
