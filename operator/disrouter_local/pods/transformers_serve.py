"""`python -m disrouter_local.pods.transformers_serve serve DIR`: `transformers serve`, one wrong guess corrected.

transformers 5.19 chooses how to take a reply apart by the architecture alone: every Qwen2 is read as if it spoke Qwen's
chat template. A model of that architecture with a template of its own - a distilled one, a tiny one - then gets its
prompt put in front of each reply, and no refusal is ever seen. Here a reply is taken apart only where the marker that
this starts from occurs in the model's chat template; else its text is passed on as it is.
"""

from __future__ import annotations

import sys
from typing import Any

from transformers.cli.serving import utils
from transformers.cli.transformers import main

_guess = utils.get_response_template


def fitting_template(processor: Any, model: Any) -> dict[str, Any] | None:
    """The reply template that transformers would use, None where the chat template does not speak it."""
    template: dict[str, Any] | None = _guess(processor, model)
    anchor = str((template or {}).get("start_anchor") or "").strip()
    tokenizer = getattr(processor, "tokenizer", processor)
    spoken = str(getattr(tokenizer, "chat_template", "") or "")
    marker = anchor.split(">", maxsplit=1)[0]
    return template if marker in spoken else None


if __name__ == "__main__":
    utils.get_response_template = fitting_template
    sys.exit(main())
