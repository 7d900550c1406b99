"""The process that a stage runs in.

- `ranks`     several processes that train one model (torchrun)
- `lock`      one trainer per run
- `stop`      SIGTERM: finish the step, keep the work, leave
- `progress`  how far a stage is, for people and for machines
- `heartbeat` what is being done, said again after a silence
- `places`    where models and datasets lie on this machine
- `quiet`     silence for libraries that would talk over the progress
"""
