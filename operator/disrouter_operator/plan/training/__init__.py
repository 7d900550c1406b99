"""The life of a training run: what is trained, what is served, and what passes the gate.

- `decision`       what an agent in mode trained serves, and what its training does next
- `progress`       a run's stage, from its Jobs and the last status
- `observed_jobs`  what a Job or TrainJob says of itself
- `gate`           whether a run is promoted
"""
