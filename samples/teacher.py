"""Serve the sample model as an OpenAI-compatible LLM: python samples/teacher.py [--parallel N] [--listen HOST:PORT]

Listens on a free port of 127.0.0.1 unless told otherwise, prints its base URL on one line ("http://127.0.0.1:PORT/v1")
once it answers, and serves until the process that started it ends or it is interrupted. llama.cpp inside (xllamacpp),
one thread, so that a core is left for the services; replies can be held to a JSON schema. About 0.3 GB of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
import urllib.request

from samples.model import gguf

NAME = "smollm2-135m-instruct"
CONTEXT = 2048  # tokens for each slot: a chunk, its prompt and the reply


def serve(parallel: int, listen: str) -> None:
    """Serve until the parent process is gone.

    Args:
        parallel: replies that are generated side by side, 1 to 8. They share one thread, so that more of them give
            hardly more tokens per second (measured: 45 with one, 48 with four); two keep the thread busy while the
            caller looks at the reply before.
        listen: host:port; port 0 takes a free one.
    """
    import xllamacpp

    parent = os.getppid()
    settings = xllamacpp.CommonParams()
    settings.model.path = str(gguf())
    settings.model_alias = {NAME}
    settings.n_parallel = parallel
    settings.n_ctx = CONTEXT * parallel
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.use_jinja = True
    host, _, port = listen.rpartition(":")
    settings.hostnames = [host]
    settings.port = int(port)
    settings.ui = False
    settings.cache_ram_mib = 64
    settings.verbosity = 0
    server = xllamacpp.Server(settings)
    url = f"{server.listening_address}/v1"
    with urllib.request.urlopen(f"{url}/models", timeout=30) as reply:
        json.load(reply)
    print(url, flush=True)
    while os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parallel", type=int, default=2, help="replies generated side by side (default 2)")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="address (127.0.0.1, a free port)")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        serve(given.parallel, given.listen)
