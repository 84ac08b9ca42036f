"""python -m services.dataset"""

from services.common.main import main
from services.dataset.compose import compose

if __name__ == "__main__":
    main("dataset", compose)
