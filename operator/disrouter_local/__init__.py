"""The same control plane on one machine: an on-disk store, and a node that runs pods as processes.

- `store`, `merge`, `folder`   the `Kube` protocol over a folder of JSON files
- `controllers`                Deployment -> Pods, Job -> Pods, garbage collection (a cluster has its own)
- `kserve`                     stand-in for KServe: InferenceService -> Deployment, Service, status
- `kubelet`, `pod`, `container`, `process`, `guard`   Pods as supervised processes
- `proxy`, `ports`             Services as forwarders on stable loopback ports
- `node`                       the node's loop, for the store or for a real API server
- `runtime`                    store + operator's pass + node: what `disrouter up` runs
"""
