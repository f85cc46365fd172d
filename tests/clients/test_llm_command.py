"""The command line `llm`, unmodified: a user sets our address and key, and asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click.testing
import llm.cli
import pytest

from doubles.script import AFTER_TOOL, GREETING, PERSON, vector_of
from harness import API_KEY, MODEL, URL, Superuser
from providers import CHATS, DOUBLES_KEY

# The tool as its users write it on the command line.
GET_WEATHER = """
def get_weather(city: str) -> str:
    "The weather of a city"
    return f"{city} is sunny"
"""
# It knows OpenAI's own names of embedding models only.
EMBEDDING_MODEL = "text-embedding-3-small"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    home = tmp_path_factory.mktemp("llm")
    (home / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: ours-{name}\n  model_name: {name}\n  api_base: {URL}/v1\n  api_key_name: cloudfreedom\n"
            f"  supports_schema: true\n  supports_tools: true\n"
            for name in [MODEL, *CHATS]
        )
    )
    return {"LLM_USER_PATH": str(home), "LLM_LOAD_PLUGINS": "", "OPENAI_BASE_URL": f"{URL}/v1"}


@pytest.fixture(scope="module")
def command(environment):
    """The program itself."""

    def run(*arguments, key=API_KEY):
        program = [str(Path(sys.executable).with_name("llm")), *arguments, "--key", key]
        surroundings = {**os.environ, **environment}
        return subprocess.run(
            program, env=surroundings, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )

    return run


@pytest.fixture(scope="module")
def said(environment):
    """What it prints, called in this process: it takes seconds to start."""

    def run(*arguments):
        done = click.testing.CliRunner().invoke(llm.cli.cli, [*arguments, "--key", DOUBLES_KEY], env=environment)
        assert done.exit_code == 0, done.output
        return done.output.strip()

    return run


@pytest.mark.parametrize("streaming", [[], ["--no-stream"]])
def test_a_question_is_answered(command, streaming):
    done = command("-m", f"ours-{MODEL}", "-o", "max_tokens", "16", *streaming, "Say hello in one short sentence.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streaming", [[], ["--no-stream"]])
def test_every_provider_answers(said, model, streaming):
    assert said("-m", f"ours-{model}", "-s", "You are brief.", *streaming, "Hello") == GREETING


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streaming", [[], ["--no-stream"]])
def test_every_provider_calls_a_tool_and_takes_its_result(said, model, streaming):
    question = "How is the weather in Berlin?"
    assert said("-m", f"ours-{model}", "--functions", GET_WEATHER, *streaming, question) == AFTER_TOOL


@pytest.mark.parametrize("model", CHATS)
def test_every_provider_answers_as_a_schema_says(said, model):
    answer = said("-m", f"ours-{model}", "--no-stream", "--schema", "name, age int", "Who was the first programmer?")
    assert json.loads(answer) == PERSON


def test_a_text_becomes_a_vector(said):
    superuser = Superuser()
    [key] = superuser.list("provider_keys", "name='double openai'")
    superuser.create(
        "models",
        {
            "name": EMBEDDING_MODEL,
            "deployments": [{"provider_key": key["id"], "model": EMBEDDING_MODEL}],
            "prices": {"input": 0.02, "output": 0},
            "context_window": 8192,
            "active": True,
        },
    )
    vector = json.loads(said("embed", "-m", EMBEDDING_MODEL, "-c", "hello"))
    assert vector == vector_of("hello", len(vector))


def test_a_wrong_key_is_told_on_one_line(command):
    done = command("-m", f"ours-{MODEL}", "hello", key="sk-cf-wrong")
    assert done.returncode != 0
    assert "401" in done.stderr and "Traceback" not in done.stderr
