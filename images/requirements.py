"""Print what an image installs: the project's dependencies and those of one extra, as pyproject.toml lists them.

Build stages call it, so that an image has what `pip install disrouter[EXTRA]` would bring and none of the other parts.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
print(*project["dependencies"], *project["optional-dependencies"][sys.argv[1]], sep="\n")
