"""The environment of a service that runs on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from services.common.variables import VARIABLES, described, from_environment

LEAST = {
    "FTF_STATE": "/var/lib/finetuneflow",
    "FTF_DOCUMENTS": "mongodb://user:hidden-word@host:27017,host2:27017/?replicaSet=r",
    "FTF_OBJECTS": "s3://host:9000/bucket?secure=false",
    "FTF_NATS_URL": "nats://a:hidden-word@host:4222,nats://host2:4222",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "hidden-word",
}


def test_a_cluster_is_described_by_its_variables() -> None:
    """Everything that the chart sets arrives, in its own type."""
    config = from_environment(
        {
            **LEAST,
            "FTF_NATS_REPLICAS": "3",
            "FTF_LISTEN": "10.244.0.7:9000",
            "FTF_TRAINING_ADDRESS": "dns:///finetuneflow-training.ns.svc:9000",
            "FTF_TOKENS_DIR": "/etc/tokens",
            "FTF_SERVICE_TOKEN_FILE": "/var/run/token",
            "FTF_SERVICE_ACCOUNTS": "system:serviceaccount:ns:f-ingest=ingest, "
            "system:serviceaccount:ns:f-export=export",
            "FTF_TAKE_OVER": "old/finetuneflow",
            "FTF_JOBS": "kubernetes",
            "FTF_JOB_TEMPLATE": "/etc/jobs.json",
            "FTF_INVENTORY": "kubernetes",
            "FTF_LLM_ALLOW": "https://llm.example/v1, http://ollama:11434",
            "FTF_ALLOW_HUB": "1",
            "FTF_SWEEP_SECONDS": "0.5",
        }
    )

    assert config.nats_replicas == 3
    assert config.addresses == {"training": "dns:///finetuneflow-training.ns.svc:9000"}
    assert config.service_accounts == {
        "system:serviceaccount:ns:f-ingest": "ingest",
        "system:serviceaccount:ns:f-export": "export",
    }
    assert (config.jobs, config.job_template, config.inventory) == ("kubernetes", Path("/etc/jobs.json"), "kubernetes")
    assert config.take_over == "old/finetuneflow"
    assert config.llm_allow == ("https://llm.example/v1", "http://ollama:11434")
    assert (config.allow_hub, config.sweep_seconds, config.object_keys) == (True, 0.5, ("key", "hidden-word"))


def test_an_empty_list_of_urls_is_a_list() -> None:
    """Set to nothing it allows nothing; not set, it allows all."""
    assert from_environment({**LEAST, "FTF_LLM_ALLOW": ""}).llm_allow == ()
    assert from_environment(LEAST).llm_allow is None


@pytest.mark.parametrize("name", [v.name for v in VARIABLES if v.required])
def test_a_missing_variable_is_named(name: str) -> None:
    """With what to do."""
    with pytest.raises(InvalidArgument, match=rf"^{name} not set\. .*") as caught:
        from_environment({**LEAST, name: ""})

    assert caught.value.reason == "CONFIGURATION"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FTF_STATE", "relative"),
        ("FTF_DOCUMENTS", "postgres://user:hidden-word@host"),
        ("FTF_OBJECTS", "hidden-word"),
        ("FTF_NATS_URL", "http://host"),
        ("FTF_NATS_REPLICAS", "0"),
        ("FTF_NATS_REPLICAS", "three"),
        ("FTF_LISTEN", "9000"),
        ("FTF_LISTEN", "host:99999"),
        ("FTF_METRICS", "host:65536"),
        ("FTF_TRAINING_ADDRESS", "host:80000"),
        ("FTF_TRAINING_ADDRESS", "dns:///host:0"),
        ("FTF_INGEST_ADDRESS", "https://host"),
        ("FTF_INGEST_ADDRESS", "host"),
        ("FTF_SERVICE_ACCOUNTS", "ingest"),
        ("FTF_SERVICE_ACCOUNTS", "system:serviceaccount:ns:sa=nobody"),
        ("FTF_JOBS", "docker"),
        ("FTF_TAKE_OVER", "finetuneflow"),
        ("FTF_INVENTORY", "yes"),
        ("FTF_LLM_ALLOW", "https://user:hidden-word@host"),
        ("FTF_LLM_ALLOW", "host/v1"),
        ("FTF_ALLOW_HUB", "yes"),
        ("FTF_MAX_UPLOAD_BYTES", "-1"),
        ("FTF_SWEEP_SECONDS", "0"),
        ("FTF_LEASE_SECONDS", "nan"),
    ],
)
def test_a_wrong_variable_is_named_with_its_form_and_without_its_value(name: str, text: str) -> None:
    """URLs hold passwords; the error says how the variable must look instead."""
    with pytest.raises(InvalidArgument, match=rf"^{name} is not of its form\. Set it to ") as caught:
        from_environment({**LEAST, name: text})

    assert "hidden-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
        ({"FTF_TOKEN_FILE": "/a", "FTF_TOKENS_DIR": "/b"}, "FTF_TOKENS_DIR"),
        ({"FTF_JOBS": "kubernetes"}, "FTF_JOB_TEMPLATE"),
        ({"FTF_SERVICE_ACCOUNTS": "system:serviceaccount:n:s=ingest"}, "FTF_SERVICE_TOKEN_FILE"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, str], named: str) -> None:
    """At the start, not at the first call."""
    with pytest.raises(InvalidArgument, match=named):
        from_environment({**LEAST, **given})


def test_passwords_are_not_in_the_configurations_words() -> None:
    """Whatever prints a configuration prints no secret."""
    assert "hidden-word" not in repr(from_environment(LEAST))


def test_help_names_every_variable() -> None:
    """What is not in --help does not exist."""
    text = "\n".join(described())

    assert all(variable.name in text for variable in VARIABLES)
