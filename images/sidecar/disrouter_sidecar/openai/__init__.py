"""The APIs by which clients ask a model, each described once, and the shapes around them.

- `dialect`          what the rest of the sidecar needs to know of an API
- `chat`             chat completions
- `completions`      plain completions
- `responses`        the responses API
- `messages`         Anthropic's messages
- `pass_through`     APIs that are no question to a cascade, such as embeddings
- `constraints`      what of a request would keep an agent from refusing
- `query`            one request, parsed and checked, rewritten for the engine
- `preference`       a request's scenario or preference
- `usage`            tokens of refused hops
- `errors`           errors and the list of models
- `provider_errors`  errors of engines and providers, in that shape
- `openapi`          the endpoints as an OpenAPI document
"""

from disrouter_sidecar.openai.chat import Chat
from disrouter_sidecar.openai.completions import Completions
from disrouter_sidecar.openai.dialect import Dialect
from disrouter_sidecar.openai.errors import ErrorShape, error_body
from disrouter_sidecar.openai.messages import Messages
from disrouter_sidecar.openai.pass_through.apis import PASS_THROUGH, PassThrough
from disrouter_sidecar.openai.responses import Responses

CHAT = Chat()
DIALECTS: tuple[Dialect, ...] = (CHAT, Completions(), Responses(), Messages())
_SHAPES: tuple[tuple[str, ErrorShape], ...] = tuple((f"/v1{each.path}/", each.error_body) for each in DIALECTS)

__all__ = [
    "CHAT",
    "DIALECTS",
    "PASS_THROUGH",
    "Chat",
    "Completions",
    "Dialect",
    "Messages",
    "PassThrough",
    "Responses",
    "shape_of",
]


def shape_of(path: str) -> ErrorShape:
    """How the clients of a path read errors. An API's client also asks below its path: `/v1/messages/count_tokens`."""
    return next((shape for start, shape in _SHAPES if f"{path}/".startswith(start)), error_body)
