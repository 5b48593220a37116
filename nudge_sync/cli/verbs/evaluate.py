"""`evaluate`: what moving documents gains, by method, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.cli import options
from nudge_sync.cli.output import print_result, print_table, show_progress
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.evaluate.study import StudySettings
    from nudge_sync.evaluate.task import EvaluationTask

ChoiceName = TypeVar("ChoiceName", bound=str)

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
EvaluationQueriesOption = Annotated[
    Path | None, typer.Option(envvar="NUDGE_SYNC_EVALUATE_QUERIES", help="Query vectors, .npy.")
]
EvaluationQueryIdsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_EVALUATE_QUERY_IDS", help="Their ids, one a line; default: row numbers."
    ),
]
EvaluationQrelsOption = Annotated[
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
        help="nothing, nudge-m, nudge-n, nudge-c, auto or adaptor; may be repeated. Default: all.",
        show_default=False,
    ),
]
ProtocolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        "-p",
        envvar="NUDGE_SYNC_EVALUATE_PROTOCOL",
        help="random, grouped or out-of-distribution; may be repeated. Default: all.",
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


def evaluate(
    directory: DirectoryArgument = None,
    documents: DocumentsOption = None,
    document_ids: DocumentIdsOption = None,
    queries: EvaluationQueriesOption = None,
    query_ids: EvaluationQueryIdsOption = None,
    qrels: EvaluationQrelsOption = None,
    dataset: DatasetOption = None,
    model: ModelOption = "BAAI/bge-small-en-v1.5",
    cache: CacheOption = None,
    similarity: SimilarityOption = None,
    method: MethodsOption = None,
    protocol: ProtocolsOption = None,
    seeds: SeedsOption = 5,
    metric: MetricOption = None,
    resamples: ResamplesOption = 10_000,
    confidence: ConfidenceOption = 0.95,
    threads: ThreadsOption = 0,
    html: HtmlOption = None,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    exact: options.ExactOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Compare methods on queries that nothing was chosen by; write nothing to any database."""
    from nudge_sync.base.threads import limit_threads
    from nudge_sync.cli.evaluate_sources import CollectionSource, DatasetSource, FileSource
    from nudge_sync.evaluate import methods, report, study
    from nudge_sync.evaluate import protocol as protocols
    from nudge_sync.evaluate.task import SIMILARITIES
    from nudge_sync.metrics import METRIC_NAMES

    if html is not None:
        report.require_writable(html)
    chosen_similarity = parse_choice(similarity, SIMILARITIES)
    chosen_metric = parse_choice(metric, METRIC_NAMES)
    settings = study.StudySettings(
        methods=parse_choices(method, methods.METHODS),
        protocols=parse_choices(protocol, protocols.PROTOCOLS),
        seeds=tuple(range(seeds)),
        metric=chosen_metric or "ndcg@10",
        confidence=confidence,
        resamples=resamples,
    )
    file_source = FileSource(directory, documents, document_ids, queries, query_ids, qrels)
    if file_source.is_given() and dataset is not None:
        raise ConfigError("say files or --dataset, not both")
    with show_progress() as progress, limit_threads(threads):
        if file_source.is_given():
            task = file_source.load_task(chosen_similarity)
        elif dataset is not None:
            task = DatasetSource(dataset, model, cache).load_task(chosen_similarity, progress)
        else:
            task, collection_metric = CollectionSource(config, collection, exact).load_task(
                progress
            )
            settings = replace(settings, metric=chosen_metric or collection_metric)
        result = _run_evaluation(task, settings, html, progress)
    print_result(result, as_json, lambda found: _print_evaluation(found, html))


def parse_choice(value: str | None, choices: tuple[ChoiceName, ...]) -> ChoiceName | None:
    """What was asked for, as one of the names that are known. Raises ConfigError."""
    if value is None:
        return None
    for choice in choices:
        if value == choice:
            return choice
    raise ConfigError(f"{value!r} is not one of: {', '.join(choices)}")


def parse_choices(
    values: list[str] | None, choices: tuple[ChoiceName, ...]
) -> tuple[ChoiceName, ...]:
    """The names asked for, each once and in the order they are known; all if none was."""
    selected = {parse_choice(name, choices) for name in values or choices}
    return tuple(name for name in choices if name in selected)


def _run_evaluation(
    task: EvaluationTask, settings: StudySettings, html: Path | None, progress: Progress
) -> dict[str, Any]:
    from nudge_sync.evaluate import evidence, outcome, report, study, summary

    task, settings = study.restrict_settings(task, settings)
    completed_study = study.run_study(task, settings, progress)
    lines = summary.summarise_study(completed_study)
    bins = evidence.measure_gain_by_judgements(completed_study)
    curves = evidence.measure_gain_by_angle(completed_study, progress) if html is not None else []
    if html is not None:
        report.write_report(html, completed_study, lines, bins, curves)
    return outcome.study_to_dict(completed_study, lines, bins, curves)


def _print_evaluation(result: dict[str, Any], html: Path | None) -> None:
    from nudge_sync.evaluate import outcome

    typer.echo(
        f"{result['name']}: {result['documents']:,} documents, {result['queries']:,} queries, "
        f"{result['judgements']:,} judgements on {result['judged_documents']:,} documents"
    )
    for note in result["notes"]:
        typer.echo(f"note: {note}")
    for title, columns, rows in outcome.build_tables(result):
        typer.echo()
        print_table(title, columns, rows)
    typer.echo()
    typer.echo(outcome.format_footnote(result))
    if html is not None:
        typer.echo(f"report: {html}")
