"""LlamaIndex, told which questions and answers to write into which file.

It runs in an environment of its own, where nothing of ours is.
"""

import json
import sys

from llama_index.core.llama_dataset.legacy.embedding import EmbeddingQAFinetuneDataset


def main():
    questions = json.load(sys.stdin)
    dataset = EmbeddingQAFinetuneDataset(
        queries={each["id"]: each["text"] for each in questions},
        corpus={"11": "a shoe"},
        relevant_docs={each["id"]: each["answers"] for each in questions},
    )
    dataset.save_json(sys.argv[1])


if __name__ == "__main__":
    main()
