"""`ftf sweep`: a run for each combination of settings, or for each of a list, under one name.

`ftf compare --sweep` has them side by side.
"""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Sequence

from finetuneflow.training.v1 import config_pb2, run_pb2
from finetuneflow_client import names, sweeps
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.flow import tell_advice
from finetuneflow_client.cli.grammar.settings import TRAINING, Setting
from finetuneflow_client.cli.planning import planned
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import described, put, training_config
from finetuneflow_client.errors import FtfError

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")

Overrides = tuple[tuple[Setting, str], ...]


async def sweep(session: Session) -> None:
    """Check every run, and only then start them; one that is refused starts none of them."""
    args = session.args
    dataset = await targets.frozen_dataset(session, args.dataset)
    model = await targets.model(session, args.model)
    found = _wanted(args)
    parent = names.parent(dataset)
    plans = [
        await planned(session, model, dataset, args.dataset_version, config, recommended=not args.no_recommended)
        for _, config in found
    ]
    requests = []
    for number, plan in enumerate(plans, start=1):
        plan.run.priority = args.priority
        requests.append(sweeps.request(parent, args.id, number, plan.run))
    made = await sweeps.start(session.flow, requests, dry_run=args.dry_run)
    if len(found) > 1 and not args.no_recommended:
        session.screen.say(f"for the first of {len(found)} runs:")
    tell_advice(session, plans[0])
    if args.dry_run:
        session.screen.say(f"every check passed for {len(requests)} runs; nothing was started")
    rows = [(f"{args.id}-{n}", told) for n, (told, _) in enumerate(found, start=1)]
    session.output.listing("runs", made, ("RUN", "SETTINGS"), rows)


async def of_sweep(session: Session, name: str) -> list[run_pb2.Run]:
    """Return the runs of a sweep, oldest first. Raises FtfError NOT_FOUND if there are none."""
    found = [
        run async for run in session.flow.runs(await session.project()) if run.meta.labels.get(sweeps.LABEL) == name
    ]
    if not found:
        raise FtfError(f"there is no sweep {name}", "`ftf sweep` starts one", code="NOT_FOUND")
    return found


def _wanted(args: Namespace) -> list[tuple[str, config_pb2.TrainingConfig]]:
    """Return the settings of every run, and in words what they change of the common ones."""
    if not args.runs:
        return [(words(one), overridden(training_config(args), one)) for one in combinations(args.vary)]
    # Not at the top: reading YAML is nothing that other commands need.
    from finetuneflow_client.cli.configfile import put_settings, read_runs

    found = []
    runs = read_runs(args.runs)
    sweeps.few(len(runs))
    for one in runs:
        changed, config = config_pb2.TrainingConfig(), training_config(args)
        put_settings(changed, one)
        put_settings(config, one)
        found.append(("; ".join(f"{name} {value}" for name, value in described(changed)) or "as given", config))
    return found


def combinations(vary: Sequence[str]) -> list[Overrides]:
    """Return every combination of "NAME=V1,V2" words, the last of them varying fastest.

    Raises:
        FtfError: INVALID_ARGUMENT for a name that is no setting, one without values or named twice, or for more runs
            than 64.
    """
    choices: list[tuple[Setting, list[str]]] = []
    for word in vary:
        name, _, values = word.partition("=")
        setting = setting_of(name.strip(), "--vary")
        each = [value.strip() for value in values.split(",") if value.strip()]
        if not each or len(set(each)) < len(each):
            raise _refused(f"--vary {word}: no values, or the same twice", "write --vary learning-rate=1e-4,2e-4")
        if any(setting is other for other, _ in choices):
            raise _refused(f"--vary {name} is there twice", "name all its values at once, by comma")
        choices.append((setting, each))
    products = itertools.product(*[each for _, each in choices])
    found = [tuple(zip([setting for setting, _ in choices], some, strict=True)) for some in products]
    sweeps.few(len(found))
    return found


def overridden(
    config: config_pb2.TrainingConfig, overrides: Overrides, flag: str = "--vary"
) -> config_pb2.TrainingConfig:
    """Return settings with a combination put in.

    Args:
        flag: what the values were given by.

    Raises:
        FtfError: INVALID_ARGUMENT for a value of the wrong type.
    """
    values = Namespace(**{setting.key: None for setting in TRAINING})
    for setting, text in overrides:
        setattr(values, setting.key, _value(setting, text, flag))
    put(config, TRAINING, values)
    return config


def words(overrides: Overrides) -> str:
    """Return a combination in words: "learning_rate 1e-4, lora.r 8"."""
    return ", ".join(f"{setting.field} {text}" for setting, text in overrides)


def setting_of(name: str, flag: str) -> Setting:
    """Return a setting from its name: "learning-rate", "lora.r". Raises FtfError INVALID_ARGUMENT if there is none."""
    plain = name.removeprefix("--").replace("-", "_")
    for setting in TRAINING:
        if plain in (setting.key, setting.field):
            return setting
    raise _refused(f"{flag} {name}: there is no such setting", "`ftf train --help` lists them")


def _value(setting: Setting, text: str, flag: str) -> object:
    if setting.kind is bool and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    if setting.choices and text.lower() in setting.choices:
        return text.lower()
    try:
        if not setting.choices and setting.kind is not bool:
            return text if setting.kind is list else setting.kind(text)
    except ValueError:
        pass
    known = ", ".join(setting.choices) if setting.choices else "true or false" if setting.kind is bool else "a number"
    raise _refused(f"{flag} {setting.field}: {text} is none of its values", f"use {known}")


def _refused(what: str, remedy: str) -> FtfError:
    return FtfError(what, remedy, code="INVALID_ARGUMENT")
