"""Questions: where they come from, how they are split, and who grades them.

- `sources`        Hub datasets and files, row by row
- `graders`        whether a final answer is right, by kind of question
- `correctness`    whether a reply is right: no refusal, and its grader agrees
- `split`          which questions train and which judge
- `split_files`    the splits as `collect` writes them and later stages read them
- `shards`         work over many questions, in files that are whole or not there
- `samples`        questions with the base model's samples
- `template`       the Answer template of Table 8
- `standard_form`  right replies put into it
- `second_reading` another way to read a reply, to see where the two differ
- `survey`         what replies look like, dataset by dataset
"""
