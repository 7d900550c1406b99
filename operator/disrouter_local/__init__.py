"""The same control plane on one machine: an on-disk store, and a node that runs pods as processes. Not Kubernetes.

- `runtime`  store, reconciles and node in one process: what `disrouter up` runs
- `store`    the `Kube` protocol over a folder, and its controllers
- `node`     InferenceServices, Pods and Services of this machine
- `pods`     one pod as processes
- `state`    the state folder, who holds it, how others find it
- `ports`    loopback ports
- `objects`  small readings of Kubernetes objects
- `errors`   exceptions
"""
