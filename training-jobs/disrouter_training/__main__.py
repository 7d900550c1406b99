"""`python -m disrouter_training`."""

import sys

from disrouter_training.cli import main

sys.exit(main())
