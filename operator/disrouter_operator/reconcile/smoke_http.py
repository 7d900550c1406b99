"""The smoke question over HTTP: a short chat completion, asked of an agent's new pods before anybody else asks them."""

from __future__ import annotations

import aiohttp

from disrouter_operator.smoke_probe import SmokeProbe

TIMEOUT_SECONDS = 30.0
"""A first answer may compile kernels."""
MAX_ANSWER = 8192
"""Bytes of an answer that are read."""
MAX_ERROR = 300
"""Characters of an answer that are told."""
REMEDY = (
    "let the operator's pods reach it (name them under spec.networkPolicy.metrics if that policy keeps them out), or "
    "start the operator with --smoke=false"
)
_ASKS_FOR_A_KEY = (401, 403)


async def over_http(probe: SmokeProbe) -> str | None:
    """A short chat completion through the new sidecar.

    The operator holds no client's key: pods that ask for one have shown that they are up, and that is all it can know.
    Nothing secret is sent, so a certificate of the cascade's own authority is not checked.
    """
    body = {
        "model": probe.model,
        "messages": [{"role": "user", "content": "Say yes."}],
        "max_tokens": 4,
        "temperature": 0,
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session,
            session.post(f"{probe.url}/v1/chat/completions", json=body, ssl=False) as response,
        ):
            if response.status in _ASKS_FOR_A_KEY:
                return None
            text = (await response.content.read(MAX_ANSWER)).decode(errors="replace")
            good = response.status == 200 and '"choices"' in text
            return None if good else f"HTTP {response.status}: {text[:MAX_ERROR]}"
    except (aiohttp.ClientError, TimeoutError) as error:
        detail = " ".join(f"{type(error).__name__} {error}".split())
        return f"{probe.url} cannot be asked ({detail[:MAX_ERROR]}); {REMEDY}"
