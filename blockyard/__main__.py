"""``python -m blockyard``."""

import sys

from blockyard.cli import main

if __name__ == "__main__":  # a configuration can import this module
    sys.exit(main())
