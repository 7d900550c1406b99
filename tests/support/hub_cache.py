"""A cache as the Hub's library lays it out, which stands for the Hub: two commits of one tiny model.

The newer one, on the main branch, has weights that know nothing and another chat template.
"""

from __future__ import annotations

from pathlib import Path

from support import tiny_model

REPOSITORY, OLD, NEW = "org/tiny", "1" * 40, "2" * 40
MARK = "new: "
"""What the newer template begins with."""


def snapshot(cache: Path, commit: str) -> Path:
    """Where the files of a commit lie."""
    return cache / "models--org--tiny" / "snapshots" / commit


def two_revisions(cache: Path) -> Path:
    """Fill the cache (`HF_HUB_CACHE`), which is returned."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    old = tiny_model.build(snapshot(cache, OLD))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(old), AutoTokenizer.from_pretrained(old)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    tokenizer.chat_template = f"{MARK}{tokenizer.chat_template}"
    model.save_pretrained(snapshot(cache, NEW))
    tokenizer.save_pretrained(snapshot(cache, NEW))
    refs = snapshot(cache, OLD).parents[1] / "refs"
    refs.mkdir()
    for name, commit in (("main", NEW), ("v1", OLD)):
        (refs / name).write_text(commit)
    return cache
