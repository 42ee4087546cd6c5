"""`python -m tasker`: the command line."""

import sys

from tasker.cli import main

sys.exit(main())
