"""HAR documents, held against the published JSON Schema of HAR 1.2, which is not ours."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NoReturn

import jsonschema  # type: ignore[import-untyped]
from referencing import Registry, Resource

SCHEMA = Path(__file__).parents[1] / "data" / "har-schema"
FORMATS = {"date-time", "uri", "ipv4", "ipv6"}
"""What the schema asks for besides types."""

# Fields that browsers write though the standard does not have them.
_OF_BROWSERS = {"sameSite", "encoding"}


@functools.cache
def validator() -> jsonschema.Draft6Validator:
    """The schema; formats are checked."""
    checker = jsonschema.Draft6Validator.FORMAT_CHECKER
    assert set(checker.checkers) >= FORMATS, "a package that checks formats is not installed"
    return jsonschema.Draft6Validator({"$ref": "har.json#"}, registry=_registry(), format_checker=checker)


def load(text: str) -> dict[str, Any]:
    """The log of a document that is JSON by the letter, and HAR by the schema and by the standard's words."""
    document = json.loads(text, parse_constant=_no_constant)
    validator().validate(document)
    assert document.keys() == {"log"}
    log: dict[str, Any] = document["log"]
    assert log["version"] == "1.2"
    for entry in log["entries"]:
        _check_entry(entry)
    return log


def _check_entry(entry: dict[str, Any]) -> None:
    """What the standard asks for and the schema does not."""
    for name in ("send", "wait", "receive"):
        assert entry["timings"][name] >= 0
    assert entry["time"] == round(sum(span for span in entry["timings"].values() if span >= 0), 3)
    content = entry["response"]["content"]
    assert ("encoding" in content) <= ("text" in content)
    # "Custom fields and elements MUST start with an underscore."
    _check_names(entry, "entry")
    _check_names(entry["request"], "request")
    _check_names(entry["response"], "response")
    _check_names(content, "content")
    _check_names(entry["request"].get("postData", {}), "postData")
    for cookie in [*entry["request"]["cookies"], *entry["response"]["cookies"]]:
        _check_names(cookie, "cookie")


def _check_names(part: dict[str, Any], schema: str) -> None:
    standard = set(_schemas()[f"{schema}.json"]["properties"]) | _OF_BROWSERS
    assert {name for name in part if not name.startswith("_")} <= standard


@functools.cache
def _schemas() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in SCHEMA.glob("*.json")}


def _registry() -> Registry[Any]:
    return Registry[Any]().with_resources(
        (f"{name}#", Resource.from_contents(schema)) for name, schema in _schemas().items()
    )


def _no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")
