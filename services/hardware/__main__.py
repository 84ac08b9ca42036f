"""python -m services.hardware"""

from services.common.main import main
from services.hardware.compose import compose

if __name__ == "__main__":
    main("hardware", compose)
