"""python -m services.training"""

from services.common.main import main
from services.training.compose import compose

if __name__ == "__main__":
    main("training", compose)
