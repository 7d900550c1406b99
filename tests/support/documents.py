"""Every YAML that a reader of the repository may apply: files of examples, and fences in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.options import changed

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A YAML text and where it stands."""

    where: str
    text: str

    def documents(self) -> list[dict[str, Any]]:
        """Its documents; one with nothing but a `spec` changes a cascade, and stands for the example so changed."""
        found = [document for document in yaml.safe_load_all(self.text) if document]
        return [changed(document) if document.keys() == {"spec"} else document for document in found]

    @property
    def is_kustomization(self) -> bool:
        return self.where.lower().endswith(("kustomization.yaml", "kustomization"))

    @property
    def is_pool(self) -> bool:
        """A pool file of the trainer: agents or a cascade, and the questions of each split."""
        return all("datasets" in document and "kind" not in document for document in self.documents())

    @property
    def is_values(self) -> bool:
        """A fence without a kind that is no pool file shows values of the operator's chart."""
        return not self.is_pool and not any("kind" in document for document in self.documents())

    @property
    def is_manifest(self) -> bool:
        """What `kubectl apply` takes."""
        return not (self.is_kustomization or self.is_values or self.is_pool)


def shown() -> list[Shown]:
    """All of them, in a stable order."""
    files = [path for pattern in ("*.yaml", "*.yml") for path in (ROOT / "examples").rglob(pattern)]
    files.append(ROOT / "crds/Kustomization")
    pages = [
        ROOT / "README.md",
        *(path for top in ("docs", "examples", "charts", "images") for path in (ROOT / top).rglob("*.md")),
    ]
    found = [Shown(str(path.relative_to(ROOT)), path.read_text()) for path in sorted(files)]
    for page in sorted(pages):
        for number, text in enumerate(_FENCE.findall(page.read_text()), start=1):
            found.append(Shown(f"{page.relative_to(ROOT)}#{number}", text))
    return found
