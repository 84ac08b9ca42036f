"""python -m services.trainer train|export|chat; the environment says for which work, see config.py."""

from __future__ import annotations

import sys

from services.trainer.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
