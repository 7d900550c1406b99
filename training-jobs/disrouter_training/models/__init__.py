"""Weights: loaded, and published whole.

- `loading`            a model and its tokenizer
- `grouped_attention`  without copies of keys and values, on a CPU
- `publishing`         all of the weights or none, with checksums
- `gpu_memory`         estimate of what a stage will need, before it starts
"""
