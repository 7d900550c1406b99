"""Where questions come from: Hub datasets and files, each row converted by a small registered function.

- `question`    one row as the stages see it
- `convert`     the registry of converters, and the entry points of other packages
- `papers`      the ten datasets of the paper
- `files`       JSONL and Parquet, on a claim, in a bucket or on the Hub
- `hub`         the datasets library
- `read`        one dataset: every row is a question, left out by its converter, or reported as bad
"""

from disrouter_training.sources.question import Question
from disrouter_training.sources.read import BadRow, Source, read_source

__all__ = ["BadRow", "Question", "Source", "read_source"]
