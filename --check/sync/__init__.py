"""The resources, blocking: for programs and notebooks without async. Made by clients/python/generate.py.

from finetuneflow_client.sync import FineTuneFlow

with FineTuneFlow.connect() as ftf:
    for project in ftf.projects.list():
        print(project.name)
"""

from __future__ import annotations

from finetuneflow_client.resources.metric import Metric
from finetuneflow_client.sync.dataset import Dataset
from finetuneflow_client.sync.example import Example
from finetuneflow_client.sync.export import Export
from finetuneflow_client.sync.file import File
from finetuneflow_client.sync.flow import FineTuneFlow
from finetuneflow_client.sync.llm import Llm, Llms
from finetuneflow_client.sync.model import Model, Models
from finetuneflow_client.sync.project import Project, Projects
from finetuneflow_client.sync.run import Run
from finetuneflow_client.sync.template import Template, Templates

__all__ = [
    "Dataset",
    "Example",
    "Export",
    "File",
    "FineTuneFlow",
    "Llm",
    "Llms",
    "Metric",
    "Model",
    "Models",
    "Project",
    "Projects",
    "Run",
    "Template",
    "Templates",
]
