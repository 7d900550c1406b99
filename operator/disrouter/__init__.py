"""The shared contract of disrouter: what the operator, the sidecar and the trainer agree on.

Pure: pydantic and the standard library only, no I/O beyond reading and writing artifact files. Rooms:

- `api`        the `SelfRoutingCascade` resource: models, rules, generated CRD
- `scenario`   the paper's scenarios and the one function that instructs a chat
- `refusal`    the canonical refusal and the incremental matcher
- `utility`    performance, cost, utility, reward, Oracle, regret
- `routes`     the route table that the operator writes and sidecars read
- `terms`      its words, for readers without pydantic
- `artifacts`  the identity and the directory of a training run
- `names`      labels, headers and object names on the wire
"""

__version__ = "0.2.0"
"""The one place of the version: package, images and charts take it from here (`make charts`)."""
