"""Rules on the names by which clients may ask for a cascade and its agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from disrouter.api.spec import CascadeSpec
from disrouter.errors import Violation


def violations(cascade: str, spec: CascadeSpec) -> Iterator[Violation]:
    """Every broken rule of a cascade of this name; without a name none is taken."""
    for name, count in Counter(alias.name for alias in spec.aliases).items():
        if count > 1:
            yield Violation("spec.aliases", f"{count} aliases are named {name!r}; names must be unique")
    known = [agent.name for agent in spec.agents]
    for index, alias in enumerate(spec.aliases):
        if cascade and alias.name.partition("/")[0] == cascade:
            yield Violation(
                f"spec.aliases[{index}].name",
                f"{alias.name!r} is taken: the cascade's own name and all that begins with it and '/' are; use another",
            )
        if alias.agent is not None and alias.agent not in known:
            yield Violation(
                f"spec.aliases[{index}].agent", f"no agent is named {alias.agent!r}; use one of {', '.join(known)}"
            )
