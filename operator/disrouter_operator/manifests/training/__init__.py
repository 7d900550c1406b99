"""The objects that train an agent.

- `runs`         the run that an agent's inputs ask for: `run.json`, and the objects of each stage
- `trainer_pod`  the trainer's container and pod, and its Job's name
- `job`          a stage as a Job
- `train_job`    a stage as Kubeflow's TrainJob
"""
