"""The rules of a manifest in Python: field, what is wrong, what to do.

- `cascade`  the rules of a whole cascade
- `serving`  what each way to run an agent can do
- `aliases`  the names by which clients may ask
- `hub`      models of the Hub
- `shape`    what pydantic finds, in the words of the manifest
"""
