"""Ragas and Hugging Face's datasets, told which sets of questions and answers to write where.

It runs in an environment of its own, where nothing of ours is.
"""

import json
import sys
from pathlib import Path

from datasets import Dataset
from ragas import EvaluationDataset, SingleTurnSample


def write_ragas(folder, questions):
    samples = [
        SingleTurnSample(
            user_input=each["text"],
            retrieved_context_ids=each["shown"],
            reference_context_ids=each["answers"],
            reference="so",
        )
        for each in questions
    ]
    dataset = EvaluationDataset(samples=samples)
    dataset.to_jsonl(str(folder / "ragas.jsonl"))
    dataset.to_csv(str(folder / "ragas.csv"))
    dataset.to_hf_dataset().to_parquet(str(folder / "ragas.parquet"))


def write_mteb(folder, questions):
    """Write the parts of a retrieval task as they lie on the Hub: qrels, queries and corpus."""
    labels = [
        {"query-id": each["id"], "corpus-id": answer, "score": 1}
        for each in questions
        for answer in each["answers"]
    ]
    queries = [{"_id": each["id"], "text": each["text"]} for each in questions]
    corpus = [{"_id": "11", "title": "", "text": "a shoe"}]
    for kind, (labels_place, queries_place, corpus_place) in {
        "parquet": (
            "qrels/test-00000-of-00001.parquet",
            "queries/queries-00000-of-00001.parquet",
            "corpus/corpus-00000-of-00001.parquet",
        ),
        "json": ("qrels/test.jsonl", "queries.jsonl", "corpus.jsonl"),
    }.items():
        rows = {labels_place: labels, queries_place: queries, corpus_place: corpus}
        for place, content in rows.items():
            path = folder / f"mteb-{kind}" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            getattr(Dataset.from_list(content), f"to_{kind}")(str(path))
    Dataset.from_list(labels).save_to_disk(str(folder / "arrow"))


def main():
    folder, questions = Path(sys.argv[1]), json.load(sys.stdin)
    write_ragas(folder, questions)
    write_mteb(folder, questions)


if __name__ == "__main__":
    main()
