"""Whether this replica can work. Pure judgement in `assessment`; the others bring it facts and report what changes.

- `assessment`    facts -> problems and readiness, in words with a remedy
- `open_watches`  which watches are open
- `survey`        which kinds the API server has and lets this replica list
- `monitor`       judges once per second; log, metrics, Events of the own pod
"""
