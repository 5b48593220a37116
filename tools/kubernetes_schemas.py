"""Write JSON schemas of the kinds that the chart makes, for kubeconform, from Go modules.

    python tools/kubernetes_schemas.py CLIENT_GO KUBECTL FOLDER

CLIENT_GO and KUBECTL are the folders of the Go modules k8s.io/client-go and k8s.io/kubectl, which
carry OpenAPI documents of the API as data of their tests: newer ones of core, apps and batch, and
an older one of everything. A schema here refuses fields that the API does not know.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = {
    "configmap-v1": "io.k8s.api.core.v1.ConfigMap",
    "service-v1": "io.k8s.api.core.v1.Service",
    "serviceaccount-v1": "io.k8s.api.core.v1.ServiceAccount",
    "deployment-apps-v1": "io.k8s.api.apps.v1.Deployment",
    "cronjob-batch-v1": "io.k8s.api.batch.v1.CronJob",
    "networkpolicy-networking-v1": "io.k8s.api.networking.v1.NetworkPolicy",
}
"""File name, as kubeconform asks for it -> name of the definition."""
TEXT_OR_NUMBER = {"oneOf": [{"type": "string"}, {"type": "number"}]}
BY_HAND = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": TEXT_OR_NUMBER,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": TEXT_OR_NUMBER,
}
"""Definitions whose values in YAML are more than their JSON type says."""


def main(client_go: Path, kubectl: Path, folder: Path) -> None:
    """Write one file a kind."""
    definitions = {
        name: refuse_unknown_fields(schema)
        for name, schema in read_definitions(client_go, kubectl).items()
    } | BY_HAND
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, name in KINDS.items():
        needed = {each: definitions[each] for each in find_needed(definitions, name)}
        schema = {"$ref": f"#/definitions/{name}", "definitions": needed}
        (folder / f"{file_name}.json").write_text(json.dumps(schema), encoding="utf-8")
    print(f"{len(KINDS)} schemas in {folder}")


def read_definitions(client_go: Path, kubectl: Path) -> dict[str, Any]:
    """Return name -> schema; where several documents have one, that of the newest."""
    documents = sorted((client_go / "openapi" / "openapitest" / "testdata").glob("*__v1_*.json"))
    definitions = read_json(kubectl / "testdata" / "openapi" / "swagger.json")["definitions"]
    for document in documents:
        definitions |= read_json(document)["components"]["schemas"]
    return dict(definitions)


def read_json(path: Path) -> Any:
    """Return a document, with its references where a file of one kind has them."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text.replace('"#/components/schemas/', '"#/definitions/'))


def refuse_unknown_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a definition that allows the fields it lists, where it lists any, and no others."""
    if "properties" in schema and "additionalProperties" not in schema:
        return {**schema, "additionalProperties": False}
    return schema


def find_needed(definitions: dict[str, Any], name: str) -> list[str]:
    """Return the name of a definition and of all that it refers to, directly or not."""
    needed = [name]
    for each in needed:
        needed += sorted({*list_references(definitions[each])} - {*needed})
    return needed


def list_references(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a part of a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix("#/definitions/")
        for part in schema.values():
            yield from list_references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from list_references(part)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
