"""Attention of grouped queries on a CPU, without a copy of keys and values for each query head.

transformers makes these copies wherever there is a mask, as CUDA's kernels would want: with seven heads to a group, as
in Qwen2.5-0.5B, they take most of a decoding step. The CPU's kernel needs none.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "sdpa_grouped"


def attend_in_groups(model: Any) -> Any:
    """The same model; where it would copy on a CPU it does so no longer."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(_NAME)
    return model


def _attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, **named: Any
) -> tuple[torch.Tensor, None]:
    """See transformers' `sdpa_attention_forward`, which does what is not plain masked attention."""
    if mask is None or named.get("position_bias") is not None or named.get("cache") is not None:
        whole: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **named)
        return whole
    output = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=named.get("dropout", 0.0),
        scale=named.get("scaling"),
        enable_gqa=True,
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
