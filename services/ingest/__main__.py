"""python -m services.ingest"""

from services.common.main import main
from services.ingest.compose import compose

if __name__ == "__main__":
    main("ingest", compose)
