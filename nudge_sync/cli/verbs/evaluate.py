"""`evaluate`: what moving documents gains, by method, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.cli import options
from nudge_sync.cli.output import emit, progress, table
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.evaluate.study import Settings
    from nudge_sync.evaluate.task import Task

Name = TypeVar("Name", bound=str)

Directory = Annotated[
    Path | None,
    typer.Argument(
        envvar="NUDGE_SYNC_EVALUATE_DIRECTORY",
        help="documents.npy, queries.npy and qrels.tsv, with ids in documents.txt and "
        "queries.txt. Without this, --documents or --dataset: a collection's own feedback.",
        show_default=False,
    ),
]
Documents = Annotated[
    Path | None,
    typer.Option(envvar="NUDGE_SYNC_EVALUATE_DOCUMENTS", help="Document vectors, .npy."),
]
DocumentIds = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_DOCUMENT_IDS",
        help="Their ids, one a line; default: row numbers.",
    ),
]
Queries = Annotated[
    Path | None, typer.Option(envvar="NUDGE_SYNC_EVALUATE_QUERIES", help="Query vectors, .npy.")
]
QueryIds = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_QUERY_IDS", help="Their ids, one a line; default: row numbers."
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_QRELS",
        help="Query id, document id, grade; or TREC's four columns.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_DATASET",
        help="A set known to ir-datasets, such as beir/nfcorpus, or a folder as BEIR ships it; "
        "its texts are embedded with --model.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_MODEL", help="The model that fastembed embeds --dataset with."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_CACHE",
        help="Where embedded sets are kept; default: nudge-sync in the user's cache folder.",
        show_default=False,
    ),
]
Similarity = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_SIMILARITY",
        help="dot or cosine; default: dot, on a collection its own.",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        envvar="NUDGE_SYNC_EVALUATE_METHOD",
        help="nothing, nudge-m, nudge-n, nudge-c, auto or adaptor; may be repeated. Default: all.",
        show_default=False,
    ),
]
Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        "-p",
        envvar="NUDGE_SYNC_EVALUATE_PROTOCOL",
        help="random, grouped or out-of-distribution; may be repeated. Default: all.",
        show_default=False,
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        min=1, max=1000, envvar="NUDGE_SYNC_EVALUATE_SEEDS", help="How many splits: seeds 0, 1, ..."
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_METRIC",
        help="ndcg@10, recall@10, recall@1 or mrr@10: what methods choose by and gains are "
        "tested by. Default: ndcg@10, on a collection its own.",
        show_default=False,
    ),
]
Resamples = Annotated[
    int,
    typer.Option(
        min=100,
        max=1_000_000,
        envvar="NUDGE_SYNC_EVALUATE_RESAMPLES",
        help="Of the bootstrap and of the permutation test.",
    ),
]
Confidence = Annotated[
    float,
    typer.Option(
        min=0.5, max=0.999, envvar="NUDGE_SYNC_EVALUATE_CONFIDENCE", help="Of the intervals."
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        min=0,
        max=1024,
        envvar="NUDGE_SYNC_EVALUATE_THREADS",
        help="Processor cores used at most; 0: all.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        envvar="NUDGE_SYNC_EVALUATE_HTML",
        help="Write a report with plots to this file.",
        show_default=False,
    ),
]


def evaluate(
    directory: Directory = None,
    documents: Documents = None,
    document_ids: DocumentIds = None,
    queries: Queries = None,
    query_ids: QueryIds = None,
    qrels: Qrels = None,
    dataset: Dataset = None,
    model: Model = "BAAI/bge-small-en-v1.5",
    cache: Cache = None,
    similarity: Similarity = None,
    method: Methods = None,
    protocol: Protocols = None,
    seeds: Seeds = 5,
    metric: Metric = None,
    resamples: Resamples = 10_000,
    confidence: Confidence = 0.95,
    threads: Threads = 0,
    html: Html = None,
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    exact: options.Exact = False,
    as_json: options.Json = False,
) -> None:
    """Compare methods on queries that nothing was chosen by; write nothing to any database."""
    from nudge_sync.base.threads import limited
    from nudge_sync.cli.evaluate_sources import CollectionSource, DatasetSource, FileSource
    from nudge_sync.evaluate import methods, report, score, study
    from nudge_sync.evaluate import protocol as protocols
    from nudge_sync.evaluate.task import SIMILARITIES

    if html is not None:
        report.demand(html)
    like = one_of(similarity, SIMILARITIES)
    measure = one_of(metric, score.METRICS)
    settings = study.Settings(
        methods=some_of(method, methods.METHODS),
        protocols=some_of(protocol, protocols.PROTOCOLS),
        seeds=tuple(range(seeds)),
        metric=measure or "ndcg@10",
        confidence=confidence,
        resamples=resamples,
    )
    files = FileSource(directory, documents, document_ids, queries, query_ids, qrels)
    if files.named() and dataset is not None:
        raise ConfigError("say files or --dataset, not both")
    with progress() as said, limited(threads):
        if files.named():
            task = files.task(like)
        elif dataset is not None:
            task = DatasetSource(dataset, model, cache).task(like, said)
        else:
            task, own = CollectionSource(config, collection, exact).task(said)
            settings = replace(settings, metric=measure or own)
        result = _evaluated(task, settings, html, said)
    emit(result, as_json, lambda found: _draw(found, html))


def one_of(given: str | None, known: tuple[Name, ...]) -> Name | None:
    """What was asked for, as one of the names that are known. Raises ConfigError."""
    if given is None:
        return None
    for name in known:
        if given == name:
            return name
    raise ConfigError(f"{given!r} is not one of: {', '.join(known)}")


def some_of(given: list[str] | None, known: tuple[Name, ...]) -> tuple[Name, ...]:
    """The names asked for, each once and in the order they are known; all if none was."""
    wanted = {one_of(name, known) for name in given or known}
    return tuple(name for name in known if name in wanted)


def _evaluated(task: Task, settings: Settings, html: Path | None, said: Progress) -> dict[str, Any]:
    from nudge_sync.evaluate import evidence, outcome, report, study, summary

    task, settings = study.fitting(task, settings)
    done = study.run(task, settings, said)
    lines = summary.lines(done)
    bins = evidence.by_evidence(done)
    curves = evidence.curves(done, said) if html is not None else []
    if html is not None:
        report.write(html, done, lines, bins, curves)
    return outcome.as_object(done, lines, bins, curves)


def _draw(result: dict[str, Any], html: Path | None) -> None:
    from nudge_sync.evaluate import outcome

    typer.echo(
        f"{result['name']}: {result['documents']:,} documents, {result['queries']:,} queries, "
        f"{result['judgements']:,} judgements on {result['judged_documents']:,} documents"
    )
    for note in result["notes"]:
        typer.echo(f"note: {note}")
    for title, columns, rows in outcome.tables(result):
        typer.echo()
        table(title, columns, rows)
    typer.echo()
    typer.echo(outcome.footnote(result))
    if html is not None:
        typer.echo(f"report: {html}")
