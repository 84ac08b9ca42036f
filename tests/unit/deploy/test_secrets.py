"""Secrets: by reference, or made once; never in a pod's spec, a ConfigMap or an annotation."""

from __future__ import annotations

import base64
import json

import pytest

from tests.unit.deploy.chart import CHART, HIDDEN, NAMESPACE, PRODUCTION, RELEASE, SERVICES, external, helm, render

pytestmark = pytest.mark.cluster


def test_no_secret_stands_outside_of_a_secret() -> None:
    """Not even those that a trial gives as values."""
    for one in external().objects:
        if one["kind"] != "Secret":
            assert HIDDEN not in json.dumps(one), one["metadata"]["name"]


def test_generated_passwords_stand_in_secrets_alone() -> None:
    """The bundled stores and the services refer to them."""
    rendered = render()
    texts = [
        base64.b64decode(value).decode()
        for secret in rendered.all("Secret")
        for key, value in secret["data"].items()
        if key not in ("objects-access-key",)
    ]

    assert len(texts) == 7
    assert all(len(text) >= 32 for text in texts)
    for one in rendered.objects:
        if one["kind"] != "Secret":
            assert not [text for text in texts if text in json.dumps(one)], one["metadata"]["name"]


def test_each_secret_can_be_one_of_your_own() -> None:
    """Then the chart makes none, and whoever reads its values or its release learns nothing."""
    rendered = render({}, PRODUCTION)

    assert list(rendered.all("Secret")) == []


@pytest.mark.parametrize(("review", "services"), [(True, ("training", "export")), (False, SERVICES)])
def test_the_signing_key_is_where_it_is_needed(review: bool, services: tuple[str, ...]) -> None:
    """Who starts Jobs or signs weights has it; without TokenReview services know each other by it."""
    rendered = render({"auth": {"tokenReview": review}})
    mounted = {
        name for name, pod in rendered.pods() if any(volume["name"] == "signing" for volume in pod.get("volumes", ()))
    }
    named = {name for name, pod in rendered.pods() if "FTF_SIGNING_KEY_FILE" in json.dumps(pod)}

    assert mounted == named == {f"{RELEASE}-{service}" for service in services}


def test_installing_twice_never_gives_the_same_password() -> None:
    """There is no default password."""
    first, second = render(fresh=True), render(fresh=True)

    for name in ("tokens", "signing", "stores"):
        assert first.one("Secret", name)["data"] != second.one("Secret", name)["data"]


def test_the_passwords_of_stores_outlive_the_release() -> None:
    """So do the volumes that they belong to."""
    assert render().one("Secret", "stores")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_notes_show_no_secret() -> None:
    """They say how to read it."""
    values = ["--values", str(CHART / "examples" / "trial.yaml")]
    done = helm("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", *values)
    notes = done.stdout[done.stdout.index("NOTES:") :]

    assert "get secret finetuneflow-tokens" in notes
    assert "port-forward service/finetuneflow-proxy" in notes
    assert "llm.allow is empty" in notes
