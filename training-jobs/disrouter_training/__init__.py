"""Self-Awareness Training of one agent: collect -> sft -> rl -> evaluate, then report over a cascade.

Source: section 3.2 of the paper. Each stage is a command that resumes from its own shards or checkpoints and reads
only what the stage before it left (`disrouter.artifacts`).
"""
