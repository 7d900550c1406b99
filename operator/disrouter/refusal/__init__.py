"""The canonical refusal, and how it is recognised.

- `matcher`  decides at the earliest text that can decide
- `text`     a reply's text without its wrapping
"""

from disrouter.refusal.matcher import MAX_HELD, MAX_LEAD, REFUSAL, Decision, RefusalMatcher, is_refusal, judge
from disrouter.refusal.text import opens_reasoning

__all__ = ["MAX_HELD", "MAX_LEAD", "REFUSAL", "Decision", "RefusalMatcher", "is_refusal", "judge", "opens_reasoning"]
