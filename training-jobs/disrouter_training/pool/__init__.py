"""A whole pool: train every agent with several seeds, fit the baselines, judge all of them on the same questions.

`file.py` reads what to do, `runs.py` says which training runs that takes, `train.py` does them, `base.py` asks the
base models, `command.py` puts it together.
"""
