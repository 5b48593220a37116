"""Whether containers can be started here."""

from __future__ import annotations

import gc
import importlib
import warnings


def is_docker_running() -> bool:
    """Return whether a Docker engine answers; the client alone is not enough."""
    try:
        docker = importlib.import_module("docker")
    except ImportError:
        return False
    try:
        client = docker.from_env(timeout=3)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except docker.errors.DockerException:
        return False
    finally:
        with warnings.catch_warnings():
            # docker-py leaves a socket open where no engine answers it.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
