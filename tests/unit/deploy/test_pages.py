"""The values that operations.md, kubernetes.md and kubernetes-closed.md show are those of the chart."""

from __future__ import annotations

import json

import pytest
import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from services.common.jobs.port import JobSpec
from services.common.kube.podspec import pod_spec
from services.common.kube.template import parse_template
from tests.unit.deploy.chart import PRODUCTION, SERVICES, TRIAL, Json, Rendered, render
from tests.unit.docs.pages import DOCS, Block, blocks

pytestmark = pytest.mark.cluster

PAGES = ("cluster.md", "operations.md", "kubernetes.md", "kubernetes-closed.md")
FOUND = [
    block
    for page in DOCS
    if page.name in PAGES
    for block in blocks(page)
    if block.run_by == "tests/unit/deploy/test_pages.py"
]
# Objects for kubectl, which are no values of the chart.
OBJECTS = [block for block in FOUND if block.text.startswith("apiVersion:")]
SHOWN = [block for block in FOUND if block not in OBJECTS]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.place)
def test_the_chart_takes_the_values_of_a_page_and_makes_something_of_them(block: Block) -> None:
    """Over those of production, or of a trial: the schema knows each, and the objects are others than without."""
    shown: Json = yaml.safe_load(block.text)
    under = TRIAL if "bundled" in shown else PRODUCTION

    assert render(shown, under).text != render({}, under).text


def values(page: str, has: str) -> Json:
    """Return the one block of a page's values that has a word."""
    (found,) = [block.text for block in SHOWN if block.page.name == page and has in block.text]
    return dict(yaml.safe_load(found))


def jobs(rendered: Rendered) -> Json:
    """Return the settings of every Job."""
    return dict(json.loads(rendered.one("ConfigMap", "jobs")["data"]["jobs.json"]))


def test_the_queue_covers_all_that_a_job_asks_for() -> None:
    """Or Kueue would never admit it; names agree, and the flavor's nodes are those of the Jobs."""
    (text,) = [block.text for block in OBJECTS]
    flavor, cluster, local = yaml.safe_load_all(text)
    (group,) = cluster["spec"]["resourceGroups"]
    shown = values("kubernetes.md", "example.com/pool")
    template = parse_template(jobs(render(shown, PRODUCTION)))
    pod = pod_spec(JobSpec("j", args=("train",), labels={"kind": "run"}), template, "")

    assert set(pod["containers"][0]["resources"]["requests"]) == set(group["coveredResources"])
    assert [each["name"] for each in group["flavors"][0]["resources"]] == group["coveredResources"]
    assert group["flavors"][0]["name"] == flavor["metadata"]["name"]
    assert local["spec"]["clusterQueue"] == cluster["metadata"]["name"]
    assert flavor["spec"]["nodeLabels"] == shown["jobs"]["nodeSelector"]


def test_a_registry_of_ones_own_gives_every_image() -> None:
    """Of services, stores, proxy and Jobs."""
    rendered = render(values("kubernetes-closed.md", "bundled:"), TRIAL)
    images = [one["image"] for _, pod in rendered.pods() for one in pod["containers"] + pod.get("initContainers", [])]
    images.append(jobs(rendered)["image"])

    assert len(images) > len(SERVICES) + 4
    assert [image for image in images if not image.startswith("registry.internal.example/")] == []


def test_a_proxy_is_told_to_those_who_go_out() -> None:
    """The dataset and hardware services and Jobs, and nobody else."""
    rendered = render(values("kubernetes-closed.md", "HTTPS_PROXY"), PRODUCTION)
    told = {
        service
        for service in SERVICES
        for one in rendered.one("Deployment", service)["spec"]["template"]["spec"]["containers"]
        if any(variable["name"] == "HTTPS_PROXY" for variable in one["env"])
    }

    assert told == {"dataset", "hardware"}
    assert jobs(rendered)["env"].keys() >= {"HTTPS_PROXY", "NO_PROXY"}


def test_in_an_air_gap_no_job_asks_a_hub() -> None:
    """Whatever it would like to."""
    shown = values("kubernetes-closed.md", "hub: {allow: false}")

    assert jobs(render(shown, PRODUCTION))["env"]["HF_HUB_OFFLINE"] == "1"


def test_the_example_for_production_tolerates_the_taint_of_gpu_nodes() -> None:
    """The page on GPU nodes names the taint; the example holds Jobs on these nodes."""
    jobs = values("kubernetes.md", "tolerations")["jobs"]
    example = yaml.safe_load(PRODUCTION.read_text(encoding="utf-8"))["jobs"]

    assert (example["nodeSelector"], example["tolerations"]) == (jobs["nodeSelector"], jobs["tolerations"])
