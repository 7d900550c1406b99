"""Self-Awareness Training of one agent: collect -> sft -> rl -> evaluate, then report over a cascade.

`collect` alone reads the datasets; a later stage reads what stages before it left. Rooms, in the order in which a
question travels:

- `cli`         the command line
- `stages`      one file per stage, each read top to bottom
- `data`        questions, their splits, and who grades them
- `generation`  prompts to replies
- `training`    SFT and RL on top of TRL
- `models`      loading and publishing weights
- `evaluation`  replies to numbers
- `baselines`   learned routers to compare with
- `report`      an evaluation as text, page and figures
- `pool`        a whole pool of agents, several seeds, one report
- `process`     ranks, lock, stop, progress
- `job`         what every stage is given
- `errors`      exceptions
"""
