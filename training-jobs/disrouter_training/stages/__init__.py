"""The four stages of a run. Each reads the files of those before it and leaves its own; none imports another.

- `collect`   how often the base model answers each question right (section 3.2.2)
- `sft`       teaches the agent to refuse what it cannot do, by examples (section 3.2.2)
- `rl`        sharpens the decision with the scenario-conditioned reward (section 3.2.3)
- `evaluate`  what the candidate is worth on questions that training never saw
"""
