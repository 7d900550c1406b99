"""The examples of docs/clients.md, run as a reader would."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from support import tiny_model
from support.tiny_cascade import Cascade

DOCS = Path(__file__).parents[3] / "docs" / "clients.md"
ADDRESS = "http://localhost:8000"
EXAMPLES = dict(re.findall(r"^## ([a-z-]+)\n.*?^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL))
LITELLM = "litellm"

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_each_client_has_an_example() -> None:
    assert set(EXAMPLES) == {"openai", "anthropic", "langchain-openai", LITELLM}


@pytest.mark.parametrize(
    "client", [pytest.param(name, marks=pytest.mark.litellm if name == LITELLM else ()) for name in EXAMPLES]
)
async def test_an_example_of_the_docs_runs(cascade: Cascade, client: str) -> None:
    code = EXAMPLES[client]
    assert ADDRESS in code
    process = await asyncio.create_subprocess_exec(
        os.environ["DISROUTER_LITELLM_PYTHON"] if client == LITELLM else sys.executable,
        "-c",
        code.replace(ADDRESS, cascade.url),
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, problem = await process.communicate()
    assert (process.returncode, told.decode().strip()) == (0, tiny_model.ANSWER), problem.decode()
