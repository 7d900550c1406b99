"""`disrouter`: a thin shell over the contract and the local runtime.

- `main`          parses, runs one command, turns errors into one line
- `commands`      one module per command
- `cluster`       what commands ask the local store
- `manifests`     manifests as files
- `kubectl_yaml`  YAML as kubectl reads it
- `progress`      what happens to a cascade, in lines
- `options`       options that commands share
- `output`        tables, JSON, YAML
- `errors`        exceptions
"""
