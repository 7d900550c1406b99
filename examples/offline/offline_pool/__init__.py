"""The offline pool: a synthetic world, its questions, and tiny language models that know parts of it."""
