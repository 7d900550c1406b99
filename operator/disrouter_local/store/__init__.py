"""The `Kube` protocol over a folder of JSON files, with what a cluster's own controllers do.

- `store`            the protocol
- `folder`           files, one lock, atomic replacement
- `merge`            server-side apply for one field manager
- `deployments`      Deployment -> Pods
- `jobs`             Job -> Pods
- `endpoint_slices`  Service -> the pods behind it
- `garbage`          what has lost all its owners goes
"""
