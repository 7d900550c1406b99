"""`python -m disrouter_cli`."""

import sys

from disrouter_cli.main import main

sys.exit(main())
