"""A random walk of edits and faults on a real cluster, with clients that ask all along: `make chaos`.

All that is random comes from a seed, which is printed first and again where an invariant is violated.

- `walk`        from a seed to steps: an edit or a fault after the other, quiet times between. Pure.
- `edits`       what a person changes in the manifest. Pure.
- `faults`      what breaks, and how it is put right
- `processes`   processes of pods, where the nodes are this machine's
- `traffic`     clients that ask through the cascade's Service, and their ledger
- `invariants`  what must hold of the ledger and of what is left in the cluster. Pure.
- `__main__`    walks, looks, and says what was violated
"""
