"""Pure builders of Kubernetes objects. Nothing here looks at the cluster.

- `cascade`          a valid cascade, and what its children have in common
- `containers`       what all containers share: names, mounts, security
- `pod_fields`       typing errors in fields of a pod
- `claims`           which pods mount which claim
- `hub`              what fetches and keeps models of the Hub
- `scratch`          where an engine may write
- `pod_options`      `spec.pod` and `agents[].pod` merged into a pod
- `strategic_merge`  the strategic merge patch behind it
- `serving`          the objects that serve
- `training`         the objects that train
"""
