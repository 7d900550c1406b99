"""The shared contract of disrouter: what the operator, the sidecar and the trainer agree on.

Pure: pydantic, msgspec and the standard library only, no I/O beyond reading and writing artifact files.

- `api`          the `SelfRoutingCascade` resource: models, rules, generated definition
- `routes`       the route table that the operator writes and sidecars read
- `terms`        words that the route table, the manifest and training share
- `scenario`     the paper's scenarios, how they instruct a chat, and the reward (equation 7)
- `refusal`      the canonical refusal, and how it is recognised
- `calibration`  from the chance of a refusal to competence: the table's type and lookup
- `artifacts`    the identity and the directory of a training run
- `recipe`       what a training run may choose, stage by stage
- `uris`         addresses of models and datasets
- `listening`    a port for IPv4 and IPv6
- `names`        labels, headers and object names on the wire
- `model`        the base of every model on the wire
- `backoff`      how long to wait after failures
- `errors`       exceptions
"""

__version__ = "0.2.0"
"""The one place of the version: package, images and charts take it from here (`make charts`)."""
