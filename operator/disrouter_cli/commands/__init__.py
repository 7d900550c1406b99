"""One module a command: its docstring is its help, `configure` adds its options, `run` does it."""
