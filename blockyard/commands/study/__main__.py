"""One run of a study in a process of its own: ``python -m blockyard.commands.study FILE``."""

from __future__ import annotations

import sys

from blockyard.commands.study.job import carry_out_alone
from blockyard.mistakes import mistake_in

if __name__ == "__main__":
    try:
        sys.exit(carry_out_alone(sys.argv[1]))
    except Exception as error:
        mistake = mistake_in(error)
        if mistake is None:
            raise
        sys.exit(f"blockyard: {mistake}")
