"""Resources as objects: a project, its files, datasets, examples, runs and exports, and what can be done with each.

An object holds what the server said last, as `message`, and is brought up to date by refresh() and by everything that
it is asked to do. Whatever waits or talks to the server is awaited; lists are async iterators, page by page.
"""

from __future__ import annotations

from finetuneflow_client.resources.dataset import Dataset
from finetuneflow_client.resources.example import Example
from finetuneflow_client.resources.export import Export
from finetuneflow_client.resources.file import File
from finetuneflow_client.resources.flow import FineTuneFlow
from finetuneflow_client.resources.llm import Llm, Llms
from finetuneflow_client.resources.metric import Metric
from finetuneflow_client.resources.model import Model, Models
from finetuneflow_client.resources.project import Project, Projects
from finetuneflow_client.resources.run import Run
from finetuneflow_client.resources.template import Template, Templates

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
