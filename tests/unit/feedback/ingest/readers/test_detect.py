"""What a file is, by its first bytes."""

import json

import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.readers.detect import detect_format, detect_labels

NAMES = {
    b'{"query_id": "q1"}\n': "JSON lines",
    b"": "JSON lines",
    b"{\n": "JSON lines",
    b'{broken\n{"query_id": "q1"}\n': "JSON lines",
    b'\xef\xbb\xbf{"query_id": "q1"}\n': "JSON lines",
    b'{"index": {"_index": "ubi_queries"}}\n{"query_id": "q1"}\n': "OpenSearch bulk",
    b'{"_index": "i", "_source": {"query_id": "q1"}}\n': "OpenSearch dump",
    b'{"took": 1, "hits": {"hits": []}}': "OpenSearch _search reply",
    b'{"responses": [{"hits": {"hits": []}}]}': "OpenSearch _search reply",
    b'{\n "queries": {}, "relevant_docs": {}\n}': "LlamaIndex EmbeddingQAFinetuneDataset",
    b'{"requests": [{"id": "a", "ratings": []}]}': "Elasticsearch rank-eval request",
    b'{"query_doc_pairs": []}': "Quepid book",
    b'{"queries": [{"query_text": "a", "ratings": {}}]}': "Quepid case",
    b'{"q1": {"d1": 1, "d2": 0}}': "JSON qrels",
    b'{"query_id": ["q1"], "doc_id": ["d1"]}': "JSON table by columns",
    b'{"data": [{"query_id": "q1"}]}': "JSON document with lists of rows",
    b'[\n{"query_id": "q1"}]': "JSON array",
    b'{\n "query_id": "q1"\n}': "JSON document",
    b"query,docid,rating\n": "CSV",
    b"Query Text;Doc ID;Rating\n": "CSV",
    b"query-id\tcorpus-id\tscore\nq1\td1\t1\n": "TSV",
    b"q1 0 d1 1\nq1 0 d2 0\n": "TREC qrels",
    b"301\t0\td1\t1\n": "TREC qrels",
    b"q1 d1 1\nq1 d2 0\nq2 d1 1\n": "TREC qrels",
    b"121352\twhat is a wing\n": "MS MARCO queries",
    b"3 qid:7 1:0.5 # d1\n": "RankLib judgements",
    b"# qid:7: red shoes\n#\n3 qid:7 # d1\n": "RankLib judgements",
    b"2 qid:1 1:3 2:0 #docid = GX1 inc = 1 prob = 0.1\n": "RankLib judgements",
    b"PAR1": "Parquet",
}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_only_the_ends_of_lines_separate_rows(separator):
    row = f'{{"query_id": "q1", "text": "red{separator}shoes", "query_vector": [1]}}'
    assert detect_format(f"{row}\r\n{row}\r\n".encode()).name == "JSON lines"
    assert detect_format(row.encode()).name == "JSON lines"


@pytest.mark.parametrize("head", NAMES)
def test_a_file_is_named(head):
    assert detect_format(head).name == NAMES[head]


FOREIGN = {
    b"q1 Q0 d1 1 12.5 bm25\nq1 Q0 d2 2 11 bm25\n": "a TREC run",
    b"q1\td1\t1\nq1\td2\t2\nq1\td3\t3\n": "a TREC run",
    b"PK\x03\x04": "Excel",
    b"SQLite format 3\x00": "SQLite",
    b"\xff\xfeq\x00": "UTF-16",
    b"\x93NUMPY": "--query-vectors",
    b"<html>": "HTML",
    b"ARROW1": "Parquet",
}


@pytest.mark.parametrize("head", FOREIGN)
def test_what_is_not_read_is_named_too(head):
    with pytest.raises(InputError, match=FOREIGN[head]):
        detect_format(head)


def test_the_name_of_the_file_decides_what_its_content_leaves_open():
    assert detect_format(b"", ".csv").name == "CSV"
    assert detect_format(b"point,action\n", ".csv").name == "CSV"
    assert detect_format(b"", ".parquet").name == "Parquet"


def test_labels_are_qrels_unless_they_are_a_table_or_json():
    assert detect_labels(b"q1\td1\t1\nq1\td2\t2\nq1\td3\t3\n").name == "TREC qrels"
    assert detect_labels(b"").name == "JSON lines"
    assert detect_labels(b"query-id,corpus-id,score\n").name == "CSV"
    assert detect_labels(b'{"q1": {"d1": 1}}').name == "JSON qrels"
    assert detect_labels(b"PAR1").name == "Parquet"


@pytest.mark.parametrize("key", ["queries", "relevant_docs"])
def test_a_long_document_on_one_line_is_no_line_of_rows(key):
    text = json.dumps({key: {str(number): "x" * 20 for number in range(5000)}})
    assert detect_format(text[: 2**16].encode()).name == "JSON document"
    row = json.dumps({"query_vector": [0.5] * 20_000})
    assert detect_format(row[: 2**16].encode()).name == "JSON lines"
