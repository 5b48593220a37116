"""The options of `evaluate`, each with its environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(
        envvar="NUDGE_SYNC_EVALUATE_DIRECTORY",
        help="documents.npy, queries.npy and qrels.tsv, with ids in documents.txt and "
        "queries.txt. Without this, --documents or --dataset: a collection's own feedback.",
        show_default=False,
    ),
]
DocumentsOption = Annotated[
    Path | None,
    typer.Option(envvar="NUDGE_SYNC_EVALUATE_DOCUMENTS", help="Document vectors, .npy."),
]
DocumentIdsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_DOCUMENT_IDS",
        help="Their ids, one a line; default: row numbers.",
    ),
]
QueriesOption = Annotated[
    Path | None, typer.Option(envvar="NUDGE_SYNC_EVALUATE_QUERIES", help="Query vectors, .npy.")
]
QueryIdsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_QUERY_IDS", help="Their ids, one a line; default: row numbers."
    ),
]
QrelsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_QRELS",
        help="Query id, document id, grade; or TREC's four columns.",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_DATASET",
        help="A set known to ir-datasets, such as beir/nfcorpus, or a folder as BEIR ships it; "
        "its texts are embedded with --model.",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_MODEL", help="The model that fastembed embeds --dataset with."
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_CACHE",
        help="Where embedded sets are kept; default: nudge-sync in the user's cache folder.",
        show_default=False,
    ),
]
SimilarityOption = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_SIMILARITY",
        help="dot or cosine; default: dot, on a collection its own.",
        show_default=False,
    ),
]
MethodsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        envvar="NUDGE_SYNC_EVALUATE_METHOD",
        help="nothing, nudge-m, nudge-n, nudge-h, nudge-c, auto, adaptor, query-adapter, "
        "auto+query-adapter, pefa-xs, pefa-xl, rocchio or nnn; may be repeated. "
        "Default: the first eight.",
        show_default=False,
    ),
]
ProtocolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        "-p",
        envvar="NUDGE_SYNC_EVALUATE_PROTOCOL",
        help="random, grouped, out-of-distribution (these by default), cold-documents, "
        "leave-cluster-out, time, cold-start, label-noise, small-log or document-frequency; may "
        "be repeated.",
        show_default=False,
    ),
]
SeedsOption = Annotated[
    int,
    typer.Option(
        min=1, max=1000, envvar="NUDGE_SYNC_EVALUATE_SEEDS", help="How many splits: seeds 0, 1, ..."
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_METRIC",
        help="ndcg@10, recall@10, recall@1 or mrr@10: what methods choose by and gains are "
        "tested by. Default: ndcg@10, on a collection its own.",
        show_default=False,
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(
        min=100,
        max=1_000_000,
        envvar="NUDGE_SYNC_EVALUATE_RESAMPLES",
        help="Of the bootstrap and of the permutation test.",
    ),
]
ConfidenceOption = Annotated[
    float,
    typer.Option(
        min=0.5, max=0.999, envvar="NUDGE_SYNC_EVALUATE_CONFIDENCE", help="Of the intervals."
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        min=0,
        max=1024,
        envvar="NUDGE_SYNC_EVALUATE_THREADS",
        help="Processor cores used at most; 0: all.",
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html",
        envvar="NUDGE_SYNC_EVALUATE_HTML",
        help="Write a report with plots to this file.",
        show_default=False,
    ),
]
