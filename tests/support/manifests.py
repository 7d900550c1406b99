"""The table of invalid manifests that every entrance must refuse with field and remedy, and the valid one."""

from __future__ import annotations

from support.invalid_fields import FIELDS
from support.invalid_hub import HUB
from support.invalid_requests import REQUESTS
from support.invalid_rules import RULES
from support.invalid_serving import SERVING
from support.manifest import Invalid, Manifest, valid, without_none

INVALID = RULES + SERVING + FIELDS + REQUESTS + HUB

__all__ = ["INVALID", "Invalid", "Manifest", "valid", "without_none"]
