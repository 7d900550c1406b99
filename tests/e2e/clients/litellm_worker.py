"""Runs LiteLLM's calls for `test_litellm`, in an environment of its own: it pins other versions than the project.

One JSON object per line of standard input, one per line of standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import litellm

Result = dict[str, Any]


async def completion(fields: dict[str, Any]) -> Result:
    reply = await litellm.acompletion(**fields)
    return {**reply.model_dump(), "headers": reply._hidden_params["additional_headers"]}


async def stream(fields: dict[str, Any]) -> Result:
    chunks = [chunk async for chunk in await litellm.acompletion(**fields, stream=True)]
    built = litellm.stream_chunk_builder(chunks, messages=fields["messages"])
    return {**built.model_dump(), "pieces": len(chunks)}


async def leave(fields: dict[str, Any]) -> Result:
    reply = await litellm.acompletion(**fields, stream=True)
    async for chunk in reply:
        if chunk.choices[0].delta.content:
            break
    await reply.aclose()
    return {}


async def many(fields: dict[str, Any]) -> Result:
    replies = await asyncio.gather(*(litellm.acompletion(**each) for each in fields["calls"]))
    return {"texts": [reply.choices[0].message.content for reply in replies]}


async def responses(fields: dict[str, Any]) -> Result:
    reply = await litellm.aresponses(**fields)
    return {**reply.model_dump(), "text": reply.output_text}


async def responses_stream(fields: dict[str, Any]) -> Result:
    events = [event async for event in await litellm.aresponses(**fields, stream=True)]
    return {"text": "".join(event.delta for event in events if event.type == "response.output_text.delta")}


async def messages(fields: dict[str, Any]) -> Result:
    return dict(await litellm.anthropic.messages.acreate(**fields))


KINDS = {each.__name__: each for each in (completion, stream, leave, many, responses, responses_stream, messages)}


async def answer(line: str) -> Result:
    asked = json.loads(line)
    try:
        return await KINDS[asked["kind"]](asked["fields"])
    except Exception as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None), "message": str(error)}


async def main() -> None:
    said, sys.stdout = sys.stdout, sys.stderr  # LiteLLM prints advice beside its errors
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(line), default=str), file=said, flush=True)


asyncio.run(main())
