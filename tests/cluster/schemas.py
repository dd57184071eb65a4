#!/usr/bin/env python3
"""Turns the OpenAPI description of Kubernetes into JSON schemas, one file for each kind, for kubeconform.

    schemas.py openapi.json DIRECTORY

`openapi.json` is `api/openapi-spec/swagger.json` of k8s.io/kubernetes (OpenAPI 2). The files are named as kubeconform's
default location names them: `deployment-apps-v1.json`, `service-v1.json`. They are strict: a key that the API does not know is
an error, as `kubectl apply --validate=strict` has it. Each stands by itself: it carries the definitions that it reaches.

Standard library only.
"""

import json
import pathlib
import sys

PREFIX = "#/definitions/"
# What the description calls a string and the API takes as a number too.
LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def strict(schema):
    """A copy that refuses unknown keys wherever keys are listed."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # `properties` maps names to schemas: a field that is called "properties" is not one.
    copy = {
        key: {name: strict(field) for name, field in value.items()} if key == "properties" else strict(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes-") and key != "description"
    }
    if "properties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy


def references(schema):
    """Names of the definitions that a schema points to."""
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(PREFIX)
            else:
                yield from references(value)


def reachable(start, definitions):
    """The definitions that `start` needs, itself among them."""
    found, waiting = {}, [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting.extend(references(definitions[name]))
    return found


def main(source, target):
    definitions = json.loads(pathlib.Path(source).read_text())["definitions"]
    kinds = [
        (name, kind)
        for name, schema in definitions.items()
        # Options of requests belong to every group; nobody writes them into a manifest.
        if len(schema.get("x-kubernetes-group-version-kind", [])) == 1 and "kind" in schema.get("properties", {})
        for kind in schema["x-kubernetes-group-version-kind"]
    ]
    definitions = {name: LOOSE.get(name) or strict(schema) for name, schema in definitions.items()}
    directory = pathlib.Path(target)
    directory.mkdir(parents=True)
    for name, kind in kinds:
        group, version = kind["group"], kind["version"]
        needed = reachable(name, definitions)
        root = dict(needed[name])
        root["properties"] = dict(root["properties"])
        root["properties"]["apiVersion"] = {"const": f"{group}/{version}" if group else version}
        root["properties"]["kind"] = {"const": kind["kind"]}
        root["required"] = sorted({*root.get("required", []), "apiVersion", "kind"})
        root["definitions"] = needed
        suffix = f"-{group.split('.')[0]}-{version}" if group else f"-{version}"
        file = directory / f"{kind['kind'].lower()}{suffix.lower()}.json"
        file.write_text(json.dumps(root, separators=(",", ":")))
    print(f"schemas: {len(kinds)} kinds", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
