"""The command line `llm`, unmodified: a user sets our address and key, and asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from doubles import PERSON, Double
from harness import API_KEY, MODEL, URL, Superuser


@pytest.fixture(scope="module")
def double():
    double = Double(Superuser(), "anthropic")
    yield double
    double.stop()


@pytest.fixture
def llm(tmp_path, double):
    (tmp_path / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: {name}\n  model_name: {model}\n  api_base: {URL}/v1\n  api_key_name: cloudfreedom\n"
            f"  supports_schema: true\n  supports_tools: true\n"
            for name, model in [("ours", MODEL), ("double", double.model)]
        )
    )
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": ""}

    def run(*arguments, key=API_KEY):
        command = [str(Path(sys.executable).with_name("llm")), *arguments, "--key", key]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    return run


@pytest.mark.parametrize("streaming", [[], ["--no-stream"]])
def test_a_question_is_answered(llm, streaming):
    done = llm("-m", "ours", "-o", "max_tokens", "16", *streaming, "Say hello in one short sentence.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_an_answer_has_the_structure_that_was_asked_for(llm):
    done = llm("-m", "double", "--no-stream", "--schema", "name, age int", "Who was the first programmer?")
    assert done.returncode == 0, done.stderr
    assert str(PERSON["age"]) in done.stdout and PERSON["name"] in done.stdout


def test_a_wrong_key_is_told_on_one_line(llm):
    done = llm("-m", "ours", "hello", key="sk-cf-wrong")
    assert done.returncode != 0
    assert "401" in done.stderr and "Traceback" not in done.stderr
