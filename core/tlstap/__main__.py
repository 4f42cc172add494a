"""`python -m tlstap` is `tlstap`."""

import sys

from tlstap.cli import main

sys.exit(main())
