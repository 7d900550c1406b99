"""What a client may ask for: OpenAI's three ways to ask a model, each described once.

- `dialect`      what the rest of the sidecar needs to know of an API, and nothing else does
- `chat`, `completions`, `responses`    the three
- `query`        one request, parsed and checked, and rewritten for the engine
- `wishes`       the scenario or preference that it asks for
"""

from disrouter_sidecar.api.chat import Chat
from disrouter_sidecar.api.completions import Completions
from disrouter_sidecar.api.dialect import Dialect
from disrouter_sidecar.api.responses import Responses

DIALECTS: tuple[Dialect, ...] = (Chat(), Completions(), Responses())

__all__ = ["DIALECTS", "Chat", "Completions", "Dialect", "Responses"]
