"""The JSON Schema of the configuration file, for editors."""

from __future__ import annotations

from typing import Any

from janitor.config.forms import FileForm
from janitor.config.problems import schemas_at
from janitor.config.unbuilt import UNBUILT


def file_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of the whole file; what is not built yet is left out."""
    schema = FileForm.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "janitor configuration"
    for pattern in UNBUILT:
        *around, key = pattern.split(".")
        for one in schemas_at(schema, tuple(around)):
            one.get("properties", {}).pop(key, None)
    return schema
