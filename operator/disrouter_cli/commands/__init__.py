"""One module per command: its docstring is its help, `configure` adds its options, `run` does it.

- `up`        run cascades on this machine
- `down`      stop them
- `apply`     apply a manifest
- `delete`    delete a cascade
- `get`       show cascades
- `ps`        list processes
- `logs`      print logs
- `ask`       ask one question
- `wait`      wait for a condition
- `validate`  check manifests
- `version`   print the version
"""
