"""Kubernetes as the control plane sees it: kinds of objects, one limited and fenced client, leader election.

- `resources`          kinds, and where they live in the API
- `client`             the few verbs that are needed, as a protocol
- `api_server`         that protocol over the Kubernetes client; it writes only while this replica leads
- `service_account`    the account that the kubelet mounts into a pod
- `rate_limit`         a token bucket for requests
- `leader_election`    a Lease, as client-go uses it
- `resource_versions`  how far the watches are behind the writes
- `observed`           a cascade and its children, as they were read
- `diff`               whether a live object already is as wanted
- `timestamps`         times as they stand in objects
"""
