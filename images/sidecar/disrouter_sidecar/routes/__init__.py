"""The route table (`disrouter.routes`) as this sidecar has it.

- `reload`  keeps the last good one, while `mounted_files` notices a new file
"""
