"""Build retrieval sets that nothing was ever tuned on, out of what packages ship.

python benchmarks/unseen/build.py FOLDER [--sets aws,bfcl] [--models minilm,static]

Writes FOLDER/SET-MODEL/: documents.npy, documents.txt, queries.npy, queries.txt and qrels.tsv,
which `cold_documents.py --data FOLDER` and `solver_quality.py --data FOLDER` read. A set that is
there already is kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from minilm import MiniLM
from static import StaticModel
from texts import BUILDERS, Texts

EMOJI_PACKAGE = "emojibase-data@17.0.0"
KNOWN_TEXTS = (
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
)
KNOWN_COSINES = (0.6660, 0.1046, 0.1411)
"""Of the texts above by all-MiniLM-L6-v2, as the pages of Sentence Transformers print them."""


def build_texts(name: str, folder: Path) -> Texts:
    if name != "emoji":
        return BUILDERS[name]()
    archive = folder / "emojibase-data-17.0.0.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", EMOJI_PACKAGE], cwd=folder, check=True)
    return BUILDERS[name](archive)


def load_model(name: str):
    """Return what embeds texts as unit rows."""
    if name == "minilm":
        model = MiniLM()
        first, second, third = model.embed(list(KNOWN_TEXTS))
        cosines = (first @ second, first @ third, second @ third)
        np.testing.assert_allclose(cosines, KNOWN_COSINES, atol=1e-3)
        return model.embed
    return StaticModel().embed


def write_set(where: Path, texts: Texts, embed) -> None:
    documents, queries, pairs = texts
    where.mkdir(parents=True, exist_ok=True)
    for kind, rows in (("documents", documents), ("queries", queries)):
        np.save(where / f"{kind}.npy", embed(rows))
        (where / f"{kind}.txt").write_text("".join(f"{row}\n" for row in range(len(rows))))
    lines = (f"{query}\t{document}\t1\n" for query, document in pairs)
    (where / "qrels.tsv").write_text("".join(lines))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--sets", default=",".join(BUILDERS))
    options.add_argument("--models", default="minilm,static")
    given = options.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    models = {name: load_model(name) for name in given.models.split(",")}
    for name in given.sets.split(","):
        texts = build_texts(name, given.folder)
        judged = {document for _, document in texts[2]}
        print(
            f"{name}: {len(texts[0])} documents, {len(judged)} of them judged, "
            f"{len(texts[1])} queries, {len(texts[2])} judgements"
        )
        for model, embed in models.items():
            where = given.folder / f"{name}-{model}"
            if not (where / "qrels.tsv").exists():
                write_set(where, texts, embed)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
