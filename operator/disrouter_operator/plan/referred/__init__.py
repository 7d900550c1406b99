"""What a service of KServe that others keep says to the agent that refers to it.

- `referred_service`  where its API is, under which name, and what it lacks
- `served_model`      the name by which an engine knows its model
"""
