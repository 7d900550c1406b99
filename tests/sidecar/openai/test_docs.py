"""The examples of docs/api.md, run as a reader would."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from support.fake_engine import Script
from support.sidecars import REFUSAL, Cascade

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
ADDRESS = "http://localhost:8000"
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
COMPLETION = b'{"object": "text_completion", "choices": [{"index": 0, "text": "four", "finish_reason": "stop"}]}'
EMBEDDING = b'{"object": "list", "data": [{"embedding": [0.25]}], "model": "four"}'


@pytest.mark.parametrize(
    ("language", "code"), EXAMPLES, ids=[f"{place}-{row[0]}" for place, row in enumerate(EXAMPLES)]
)
async def test_an_example_of_the_docs_runs(three: Cascade, language: str, code: str) -> None:
    assert ADDRESS in code
    three.scripts(REFUSAL, "four", "six")
    if "/v1/completions" in code:
        three.entry.engine.script = Script(body=COMPLETION)
    if "/v1/embeddings" in code:
        three.entry.engine.script = Script(body=EMBEDDING)
    argv = ["bash", "-euc"] if language == "sh" else [sys.executable, "-c"]
    process = await asyncio.create_subprocess_exec(
        *argv,
        code.replace(ADDRESS, three.entry.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert b"four" in told
    if language == "python":
        assert b"small,medium four" in told
        assert b"six" in told
