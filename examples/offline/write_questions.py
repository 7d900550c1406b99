"""Write the question set: python examples/offline/write_questions.py [--out DIR]"""

import argparse
import sys
from pathlib import Path

from offline_pool.questions import write_questions


def main(argv: list[str]) -> None:
    """Read the command line and write the four splits."""
    parser = argparse.ArgumentParser(description="Write the offline pool's question set.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "questions")
    parser.add_argument("--seed", type=int, default=20)
    args = parser.parse_args(argv)
    write_questions(args.out, args.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
