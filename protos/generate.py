"""Generate the Python code of the contract: python protos/generate.py OUT [--stubs]

Runs with grpcio-tools and googleapis-common-protos alone. `--stubs` adds the type stubs of mypy-protobuf, for checking.
The folder is the proto package, so the generated imports need no repair.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path


def main(out: Path, stubs: bool) -> None:
    """Write finetuneflow/ below out, replacing what is there."""
    from google.rpc import status_pb2
    from grpc_tools import protoc

    source = Path(__file__).parent
    protos = sorted(str(p) for p in source.glob("finetuneflow/**/*.proto"))
    well_known = files("grpc_tools") / "_proto"
    google_rpc = Path(status_pb2.__file__).parents[2]
    shutil.rmtree(out / "finetuneflow", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    args = ["protoc", *(f"-I{folder}" for folder in (source, well_known, google_rpc))]
    args += [f"--python_out={out}", f"--grpc_python_out={out}"]
    if stubs:
        args += [f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}"]
    if protoc.main([*args, *protos]) != 0:
        sys.exit("protoc failed: see above")
    for folder in [out / "finetuneflow", *(p for p in (out / "finetuneflow").rglob("*") if p.is_dir())]:
        (folder / "__init__.py").touch()
        if stubs:
            (folder / "py.typed").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--stubs" in sys.argv[2:])
