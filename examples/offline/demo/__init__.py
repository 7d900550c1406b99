"""`make demo`: the whole of disrouter on one machine, with tiny models and no cluster.

    python -m demo        (with examples/offline on PYTHONPATH)

Serve three models, train two of them to know their limits, measure, ask, add a fourth while requests keep coming, and
remove it again. Everything goes through the command `disrouter`, as a user would.
"""
