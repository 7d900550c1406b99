"""`disrouter`, also as `kubectl disrouter`: a thin shell over the contract and the local runtime.

`main` parses and reports errors; each command is a module of `commands` that imports what it needs when it runs.
"""
