"""python -m services.export"""

from services.common.main import main
from services.export.compose import compose

if __name__ == "__main__":
    main("export", compose)
