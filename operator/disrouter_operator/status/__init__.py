"""What is said of a cascade. Pure, but for `recorder`, which writes Events.

- `cascade_status`  `status`: the last one read, the new one built from the agents' states
- `conditions`      metav1.Condition
- `pod_troubles`    what keeps pods from serving
- `kstatus`         Reconciling and Stalled, for Flux, Helm and `kubectl wait`
- `events`          Events, from the difference of two statuses
- `recorder`        writes them, without spam
"""
