"""One reconcile of one cascade: read -> plan -> apply -> one status. The only room that writes to the cluster.

- `reconciler`         the reconcile, top to bottom
- `listed_kinds`       which kinds are worth a list
- `observe`            reads the cascade, its children and what it refers to
- `referred_services`  others' services that agents refer to
- `apply`              applies and deletes, and collects what the API server answered
- `write_guard`        holds back writes that somebody else undoes each time
- `probe_runner`       asks smoke questions beside the reconciles
- `claim_modes`        how many nodes mount a claim at once
- `first_seen`         since when agents serve, where their pods cannot say it
- `smoke_http`         one smoke question over HTTP
"""
