"""Prompts to replies.

- `prompts`                 what an agent is asked
- `encoding`                chats and replies as tokens
- `first_token`            what a refusal and an answer begin with
- `context`                 which questions fit a model's context
- `engines`                 vLLM or transformers
- `halving`                 as many at once as memory holds
- `transformers_generator`  replies by transformers
- `vllm_generator`          replies by vLLM
- `batch_queries`           many questions of several models, kept in shards
"""
