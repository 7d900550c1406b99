"""Where questions come from: Hub datasets and files, each row converted by a small registered function.

- `question`        one row as the stages see it
- `convert`         the registry of converters, and the entry points of other packages
- `paper_datasets`  the ten datasets of the paper
- `files`           JSONL and Parquet, on a claim, in a bucket or on the Hub
- `hub`             datasets of the Hub
- `read`            one dataset, row by row: a question, filtered, or invalid
"""

from disrouter_training.data.sources.question import Question
from disrouter_training.data.sources.read import InvalidRow, Source, read_source

__all__ = ["InvalidRow", "Question", "Source", "read_source"]
