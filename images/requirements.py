"""Print what an image installs: the project's dependencies and those of some extras, as pyproject.toml lists them.

Build stages call it, so that an image has what `pip install disrouter[EXTRA,...]` brings and nothing else.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [each for extra in sys.argv[1:] for each in project["optional-dependencies"][extra]]
print(*project["dependencies"], *extras, sep="\n")
