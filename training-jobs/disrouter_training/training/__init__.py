"""What the training stages are made of, on top of TRL.

- `trainer`         what both stages share: settings, checkpoints, stopping
- `sft_examples`    the examples of SFT (section 3.2.2), pure
- `extraction`      replies taken apart by a larger model (Appendix C)
- `rl_metrics`      what each RL step did, per scenario, and whether the agent has collapsed
- `collapse_guard`  the last good checkpoint, and the end when the agent has collapsed
- `step_log`        `metrics.jsonl`
- `trackers`        tensorboard and others, by TRL's `report_to`
- `disk_space`      a warning before it is short, an error that names it
"""
