"""Prompts to replies.

- `prompts`                 what an agent is asked
- `encoding`                chats and replies as tokens
- `context`                 which questions fit a model's context
- `engines`                 vLLM or transformers
- `transformers_generator`  replies by transformers
- `vllm_generator`          replies by vLLM
- `batch_queries`           many questions of several models, kept in shards
"""
