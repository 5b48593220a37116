"""PTFT: the embedding model itself is fine-tuned on queries and their answers.

The recipe of the paper's authors (`baselines/ptft.py` of github.com/szeighami/nudge) and of
Sentence Transformers: the multiple negatives ranking loss, the cross-entropy of

    20 cos(query, document) over the documents of a batch,

all parameters, Adam, and the checkpoint that the validation queries like best. Here known answers
are no negatives of a query, and the validation queries also choose the learning rate and stop the
training. The model as it was is one of the checkpoints.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from common.adapter_trial import METRIC
from ptft.models import embed, embed_with_gradient
from ptft.pairs import Batch, draw_batches, list_pairs
from ptft.text_sets import TextTask
from sentence_transformers import SentenceTransformer

from nudge_sync.evaluate.methods import TrainedMethod
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.split import TEST_PART, QuerySplit
from nudge_sync.metrics import METRIC_NAMES

SCALE = 20.0
"""What cosines are multiplied by in the loss."""
BATCH_SIZE = 64
MAX_EPOCHS = 20
EMBEDDING_SECONDS = "embedding_seconds"
"""The parameter that says how long it took to embed all documents again."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the validation queries choose from."""

    rates: tuple[float, ...]
    """Learning rates."""
    patience: int
    """Epochs without a better validation score after which a training ends."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model, and what it scores on the validation queries."""

    score: float
    state: dict[str, torch.Tensor]
    rate: float = 0.0
    epoch: int = 0


def fine_tune(
    model: SentenceTransformer,
    texts: TextTask,
    split: QuerySplit,
    schedule: Schedule,
    seed: int,
) -> TrainedMethod:
    """Train `model` in place at each learning rate, and embed all documents by the best checkpoint.

    seed: of the order of the pairs and of dropout.
    The test queries are embedded again as well; all others keep the vectors that they had.
    """
    torch.manual_seed(seed)
    pairs = list_pairs(split.train, texts.task.list_answers(split.train))

    def train_epoch(optimizer: torch.optim.Optimizer, rng: np.random.Generator) -> None:
        model.train()
        for batch in draw_batches(pairs, BATCH_SIZE, rng):
            optimizer.zero_grad()
            compute_loss(model, texts, batch).backward()
            optimizer.step()

    def validate() -> float:
        return score_validation(model, texts, split.validation)

    best = Checkpoint(validate(), copy.deepcopy(model.state_dict()))
    original = best.state
    for rate in schedule.rates:
        model.load_state_dict(original)
        trained = train_at_rate(model, rate, schedule.patience, seed, train_epoch, validate)
        best = max(best, trained, key=lambda one: one.score)
    model.load_state_dict(best.state)
    return embed_again(model, texts, split, best)


def train_at_rate(
    model: SentenceTransformer,
    rate: float,
    patience: int,
    seed: int,
    train_epoch: Callable[[torch.optim.Optimizer, np.random.Generator], None],
    validate: Callable[[], float],
) -> Checkpoint:
    """Train until the validation score rises no more, and return the best checkpoint."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    rng = np.random.default_rng(seed)
    best = None
    for epoch in range(1, MAX_EPOCHS + 1):
        train_epoch(optimizer, rng)
        score = validate()
        print(f"rate {rate:g}, epoch {epoch}: validation {100 * score:.2f}", file=sys.stderr)
        if best is None or score > best.score:
            best = Checkpoint(score, copy.deepcopy(model.state_dict()), rate, epoch)
        elif epoch - best.epoch >= patience:
            break
    return best


def compute_loss(model: SentenceTransformer, texts: TextTask, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy of the targets among the documents of the batch."""
    queries, documents = (
        embed_with_gradient(model, [lines[row] for row in rows])
        for lines, rows in ((texts.queries, batch.queries), (texts.documents, batch.documents))
    )
    scores = SCALE * queries @ documents.T
    scores = scores.masked_fill(torch.from_numpy(batch.other_answers), -torch.inf)
    return torch.nn.functional.cross_entropy(scores, torch.from_numpy(batch.targets))


def score_validation(model: SentenceTransformer, texts: TextTask, rows: np.ndarray) -> float:
    """Return the mean of the metric over the queries `rows`, among all documents."""
    documents = embed(model, texts.documents)
    queries = embed(model, [texts.queries[row] for row in rows])
    scores = score_queries(documents, queries, texts.task.select_judgements(rows))
    return float(scores[:, METRIC_NAMES.index(METRIC)].mean())


def embed_again(
    model: SentenceTransformer, texts: TextTask, split: QuerySplit, chosen: Checkpoint
) -> TrainedMethod:
    """Embed all documents and the test queries; the parameters say what the documents took."""
    started = time.perf_counter()
    documents = embed(model, texts.documents)
    seconds = time.perf_counter() - started
    tested, queries = split.tests[TEST_PART], texts.task.queries.copy()
    queries[tested] = embed(model, [texts.queries[row] for row in tested])
    parameters = {"rate": chosen.rate, "epochs": chosen.epoch, EMBEDDING_SECONDS: seconds}
    return TrainedMethod(documents, queries, np.arange(len(documents)), parameters)
