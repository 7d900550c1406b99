"""Resource definitions of other projects, so that a real API server takes what we ship for them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import yaml

from support.controlplane import ControlPlane

FOLDER = Path(__file__).parent


def definitions() -> list[dict[str, Any]]:
    """Every definition, official or written."""
    texts = (gzip.decompress((FOLDER / "models.yaml.gz").read_bytes()).decode(), (FOLDER / "written.yaml").read_text())
    return [document for text in texts for document in yaml.safe_load_all(text)]


def http_routes() -> dict[str, Any]:
    """The Gateway API's routes."""
    return next(each for each in definitions() if each["metadata"]["name"].startswith("httproutes."))


def install(plane: ControlPlane) -> None:
    """Have the server know them; again is fine."""
    found = definitions()
    plane.apply(*found)
    for each in found:
        name = each["metadata"]["name"]
        plane.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=50s")
