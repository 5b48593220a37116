"""WordLlama's static model, from weights that its package ships: the mean of a text's tokens."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class StaticModel:
    """The model of 256 dimensions, ready to embed."""

    def __init__(self) -> None:
        folder = Path(find_spec("wordllama").submodule_search_locations[0])
        (self.vectors,) = load_file(folder / "weights/l2_supercat_256.safetensors").values()
        tokenizer = folder / "tokenizers/l2_supercat_tokenizer_config.json"
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return unit rows, (texts, 256) float32."""
        encoded = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        means = [self.vectors[one.ids].astype(np.float32).mean(axis=0) for one in encoded]
        rows = np.stack(means)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
