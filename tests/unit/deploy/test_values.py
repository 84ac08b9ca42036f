"""The chart's values: every one described, documented, and refused when it is misspelt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "chart"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
REQUIRED, PREFERRED = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
FILES = [*sorted((CHART / "examples").glob("*.yaml")), ROOT / "deploy" / "kind" / "values.yaml"]


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with others laid over them, as helm does."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def at(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a schema refers to."""
    reference = schema.get("$ref", "")
    return at(SCHEMA["definitions"][reference.rpartition("/")[2]]) if reference else schema


def undescribed(values: Mapping[str, Any], schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield what stands in the values and not in the schema, and the other way round."""
    known = at(schema).get("properties")
    if known is None:
        return
    yield from (f"{where}{key} is not in the schema" for key in values.keys() - known.keys())
    yield from (f"{where}{key} is not in values.yaml" for key in known.keys() - values.keys() - {"global"})
    for key in values.keys() & known.keys():
        # What is empty by default is of Kubernetes' form, and has no defaults.
        if isinstance(values[key], dict) and values[key]:
            yield from undescribed(values[key], known[key], f"{where}{key}.")


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object of a schema that names its properties."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_the_schema_is_one() -> None:
    """A schema with a mistake would let everything pass."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_schema_and_the_values_know_the_same_names() -> None:
    """Every value can be set, and every value that can be set has a default to read."""
    # A toleration and the like have no default; the lists that hold them are empty.
    assert list(undescribed(VALUES, SCHEMA)) == []


def test_no_object_of_the_schema_takes_names_that_it_does_not_know() -> None:
    """A misspelt value is refused, wherever it stands."""
    assert [
        sorted(one["properties"])[:3] for one in objects(SCHEMA) if one.get("additionalProperties") is not False
    ] == []


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_defaults_and_examples_obey_the_schema(file: Path) -> None:
    """Laid over the defaults, as helm does."""
    values = over(VALUES, yaml.safe_load(file.read_text(encoding="utf-8")))

    jsonschema.Draft7Validator(SCHEMA).validate(values)


@pytest.mark.parametrize(
    "wrong",
    [
        {"servces": {}},
        {"services": {"training": {"replica": 3}}},
        {"services": {"training": {"replicas": "3"}}},
        {"jobs": {"tolerations": [{"keey": "a"}]}},
        {"hub": {"existingSecret": {"nam": "x"}}},
        {"models": {"path": "relative"}},
        {"jobs": {"runs": {"memory": "16GB"}}},
        {"jobs": {"runs": {"memory": ""}}},
        {"jobs": {"runs": {"cpu": 0}}},
        {"services": {"export": {"stateSize": ""}}},
        {"services": {"export": {"resources": {"requests": {"cpus": 1}}}}},
        {"services": {"export": {"resources": {"limits": {"memory": "1Mb"}}}}},
        {"services": {"export": {"affinity": {"podAntiAffinity": {"required": []}}}}},
        {"services": {"export": {"affinity": {"podAffinity": {REQUIRED: [{"topologyKee": "zone"}]}}}}},
        {"bundled": {"nats": {"resources": {"limits": {"memory": "1GB"}}}}},
        {"objects": {"url": "https://s3.example.com"}},
        {"networkPolicy": {"clients": [{"podSelektor": {}}]}},
        {"bundled": {"proxy": {"serviceType": "External"}}},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(wrong: dict[str, Any]) -> None:
    """By its name, its type or its form."""
    values = over(VALUES, wrong)

    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(values)


@pytest.mark.parametrize(
    "right",
    [
        {"jobs": {"runs": {"cpu": 4, "shmSize": ""}}},
        {"services": {"export": {"resources": {"limits": {"cpu": 1.5, "example.com/licence": 1}}}}},
        {"bundled": {"nats": {"size": ""}}, "cache": {"size": ""}},
        {
            "services": {
                "export": {
                    "affinity": {
                        "nodeAffinity": {
                            REQUIRED: {
                                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
                            }
                        },
                        "podAntiAffinity": {
                            PREFERRED: [
                                {
                                    "weight": 100,
                                    "podAffinityTerm": {
                                        "topologyKey": "zone",
                                        "labelSelector": {"matchLabels": {"app": "x"}},
                                    },
                                }
                            ]
                        },
                    }
                }
            }
        },
    ],
    ids=str,
)
def test_a_right_value_is_taken(right: dict[str, Any]) -> None:
    """Numbers where they are amounts, nothing where nothing is meant, whole affinities."""
    jsonschema.Draft7Validator(SCHEMA).validate(over(VALUES, right))


def test_every_group_of_values_is_explained() -> None:
    """A comment stands before each, in values.yaml."""
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    bare = [
        line
        for number, line in enumerate(lines)
        if line[:1].isalpha()
        and not lines[number - 1].startswith("#")
        and not lines[number + 1].lstrip().startswith("#")
    ]

    assert bare == []
