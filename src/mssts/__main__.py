"""`python -m mssts` is the command line."""

import sys

from mssts.cli import main

sys.exit(main())
