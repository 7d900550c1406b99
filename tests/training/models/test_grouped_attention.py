"""Attention of grouped queries gives what transformers' own gives."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from disrouter_training.models.grouped_attention import attend_in_groups


def test_no_logit_gradient_or_reply_differs_where_prompts_are_padded() -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    config = Qwen2Config(vocab_size=100, num_attention_heads=8, num_key_value_heads=2, **shape)
    model = Qwen2ForCausalLM(config)
    ids, mask = torch.randint(0, 100, (3, 12)), torch.ones(3, 12, dtype=torch.long)
    mask[0, :5] = mask[2, :1] = 0

    def seen() -> list[torch.Tensor]:
        model.zero_grad()
        output = model(input_ids=ids, attention_mask=mask, labels=ids)
        output.loss.backward()
        reply = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
        return [output.logits[mask.bool()].detach(), *(each.grad.clone() for each in model.parameters()), reply.float()]

    before = seen()
    assert attend_in_groups(model).config._attn_implementation == "sdpa_grouped"
    for one, other in zip(before, seen(), strict=True):
        torch.testing.assert_close(one, other)


def test_another_implementation_that_somebody_chose_stays() -> None:
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=10, hidden_size=64, intermediate_size=64, num_hidden_layers=1))
    model.set_attn_implementation("eager")
    assert attend_in_groups(model).config._attn_implementation == "eager"
