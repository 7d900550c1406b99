"""The node: what should run on this machine, and how it is reached.

- `node`     the loop over the others
- `kserve`   stand-in for KServe, compared with the real one by tests/cluster
- `kubelet`  Pods of the API on one side, running pods on the other
- `proxy`    Services as forwarders on stable loopback ports
"""
