"""MLflow's own client, told by JSON lines on its standard input what to log.

It runs in MLflow's environment, where nothing of ours is.
"""

import json
import sys

import mlflow
from mlflow.entities import AssessmentSource, Document

KINDS = {False: "HUMAN", True: "LLM_JUDGE"}


def log_search(search):
    start = int(search["time"] * 1e9)
    metadata = {
        "mlflow.trace.session": search["session"],
        "mlflow.trace.user": search["client"],
    }
    chain = mlflow.start_span_no_context(
        "chain",
        span_type="CHAIN",
        inputs={"question": search["text"]},
        metadata=metadata,
        start_time_ns=start,
    )
    embedding = mlflow.start_span_no_context(
        "embed", "EMBEDDING", chain, inputs=search["text"], start_time_ns=start
    )
    embedding.end(outputs=search["vector"], end_time_ns=start + 10**6)
    retriever = mlflow.start_span_no_context(
        "retrieve", "RETRIEVER", chain, inputs={"query": search["text"]}, start_time_ns=start
    )
    documents = [Document(f"the text of {point}", {"doc_id": point}) for point in search["shown"]]
    retriever.end(outputs=documents, end_time_ns=start + 10**7)
    chain.end(outputs={"cited": search["shown"][:1]}, end_time_ns=start + 10**8)
    return {"trace": chain.trace_id, "retriever": retriever.span_id, "chain": chain.span_id}


def log_feedback(opinion):
    source = AssessmentSource(source_type=KINDS[opinion["is_from_model"]], source_id="c1")
    mlflow.log_feedback(
        trace_id=opinion["trace"],
        span_id=opinion["span"],
        name=opinion["name"],
        value=opinion["value"],
        source=source,
    )


def log_expectation(expected):
    source = AssessmentSource(source_type="HUMAN", source_id="c1")
    mlflow.log_expectation(
        trace_id=expected["trace"], name="expected", value=expected["value"], source=source
    )


def main():
    mlflow.set_tracking_uri(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        mlflow.set_experiment(command["experiment"])
        results = [globals()[command["call"]](entry) for entry in command["entries"]]
        mlflow.flush_trace_async_logging()
        sys.stdout.write(json.dumps(results) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
