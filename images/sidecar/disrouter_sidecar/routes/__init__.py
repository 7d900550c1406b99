"""The route table: read from its file, reloaded when it changes.

- `route_table`  its values
- `parser`       its text -> its values
- `reload`       the last good one, until a better one is read
"""
