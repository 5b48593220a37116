"""Sets whose texts are at hand, as a task to evaluate and the texts of its rows."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common.solver_protocol import find_data_folder, load_dataset
from ptft.models import embed
from sentence_transformers import SentenceTransformer
from unseen.texts import BUILDERS, Texts

from nudge_sync.evaluate.task import EvaluationTask

METATOOL = "metatool"


@dataclass(frozen=True, slots=True)
class TextTask:
    """A retrieval task and its texts, in the order of the rows."""

    task: EvaluationTask
    documents: list[str]
    queries: list[str]


def read_texts(name: str, metatool: Path | None) -> Texts:
    """Return documents, queries, and (query, document) pairs by their position.

    metatool: a checkout of the authors' repository, for the set of that name.
    """
    if name != METATOOL:
        return BUILDERS[name]()
    if metatool is None:
        raise SystemExit("the texts of metatool are in a checkout that --metatool names")
    return read_metatool(metatool)


def read_metatool(checkout: Path) -> Texts:
    """Return the texts of the rows of the stored set, so that its splits are those of others.

    A query's id is its number among the distinct ones; a document is a tool's name and what it
    does.
    """
    stored = find_data_folder() / f"{METATOOL}-minilm"
    names, ids = ((stored / f"{one}.txt").read_text().split() for one in ("documents", "queries"))
    with (checkout / "dataset/data/all_clean_data.csv").open(encoding="utf-8") as file:
        distinct = list(dict.fromkeys(row["Query"].strip() for row in csv.DictReader(file)))
    described = json.loads((checkout / "dataset/plugin_des.json").read_text(encoding="utf-8"))
    documents = [f"{name} {described[name]}" for name in names]
    queries = [distinct[int(one.removeprefix("q"))] for one in ids]
    return documents, queries, np.argwhere(load_dataset(METATOOL).relevance).tolist()


def build_task(name: str, texts: Texts, model: SentenceTransformer, cold_share: float) -> TextTask:
    """Embed the texts by the model as it is shipped."""
    documents, queries, pairs = texts
    judgements: list[dict[int, float]] = [{} for _ in queries]
    for query, document in pairs:
        judgements[query][document] = 1.0
    vectors = (embed(model, documents), embed(model, queries))
    ids = ([str(row) for row in range(len(lines))] for lines in (documents, queries))
    task = EvaluationTask(
        name, *vectors, judgements, *ids, similarity="cosine", cold_share=cold_share
    )
    return TextTask(task, documents, queries)
