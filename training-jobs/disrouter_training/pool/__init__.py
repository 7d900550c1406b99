"""A whole pool: train every agent with several seeds, fit the baselines, judge all of them on the same questions.

- `command`           command `pool`: from a pool file to a report
- `file`              the pool file: agents, questions, recipe, variants
- `questions`         the questions of a pool, split, with ids that are unique over all
- `runs`              which training runs a pool takes
- `train`             trains and examines every run, resumable
- `base`              what the base models answer, once for all seeds
- `fitted_baselines`  learned routers: fitted once, kept, turned into policies
- `assemble`          replies to evidence, pure
"""
