"""What the scripted engine says of itself."""

from __future__ import annotations

import json
import urllib.request


def streaming(port: int) -> int:
    """Streams with tokens still to send, over all its ports."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as response:
        return int(json.load(response)["streaming"])
