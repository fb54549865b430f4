"""Pictures of a study: a PNG each, and one page of all that needs no other file."""

from __future__ import annotations

import base64
import io
import logging
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.core.output import open_template, write_bytes
from optimizer.core.plotting import DPI

logger = logging.getLogger(__name__)

FEWEST = 5
"""Complete trials that an importance needs, and trials that it counts as good if it can."""
PAGE = "study.html"
HISTORY, IMPORTANCE = "plot_optimization_history", "plot_param_importances"
PARALLEL, PARETO = "plot_parallel_coordinate", "plot_pareto_front"
_one_at_a_time = threading.Lock()  # Optuna draws with pyplot, whose state all threads share


@dataclass(frozen=True)
class Picture:
    """What Optuna is asked to draw.

    ``stem``, ``heading``: name of the file without its suffix, and what the picture shows.
    ``function``: function of ``optuna.visualization.matplotlib``.
    """

    stem: str
    heading: str
    function: str
    study: Any
    options: dict[str, Any]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches: every parameter needs its place."""
        places = len(self.options.get("params", ()))
        if self.function == PARALLEL:
            return 4.6 + 1.6 * places, 6.0
        return 8.5, max(5.0, 1.4 + 0.3 * places)

    @property
    def axes(self) -> list[str]:
        """Full names of the parallel axes, which Optuna cuts after 17 characters."""
        return [self.options["target_name"], *self.options["params"]]


def draw_study(study: Any, names: Sequence[str], directory: Path) -> list[Path]:
    """Draw a study and return the files written: none as long as no trial is complete.

    ``study``: a study of one objective or several; it is only read. ``names``: what its objectives
    are called, in order. ``directory``: where the files go; made if it is absent.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it tells of every copy
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # an importance that is not shown, or what trials without a parameter add to it
        warnings.filterwarnings("ignore", "Target and region quantiles|Some regimes for")
        pictures = list(plan_pictures(study, names))
        if not pictures:
            logger.info("No pictures of study %s: no trial is complete", study.study_name)
            return []
        files = {f"{picture.stem}.png": draw_png(picture) for picture in pictures}
    headings = [picture.heading for picture in pictures]
    files[PAGE] = draw_page(study, dict(zip(headings, files.values(), strict=True))).encode()
    directory.mkdir(parents=True, exist_ok=True)
    return [write_bytes(directory / name, content) for name, content in files.items()]


def plan_pictures(study: Any, names: Sequence[str]) -> Iterator[Picture]:
    """Yield the pictures that the complete trials allow; the log tells which they do not."""
    parts = [_copy_study(study, (place,)) for place in range(len(study.directions))]
    if not (first := _complete(parts[0])):
        return
    suffixes = ["", *("-" + re.sub(r"[^\w.]+", "-", name) for name in names[1:])]
    for name, suffix, part in zip(names, suffixes, parts, strict=True):
        told = {"target_name": name}
        yield Picture(f"history{suffix}", f"Optimisation history: {name}", HISTORY, part, told)
        if options := _plan_importance(part, name):
            title = f"Parameter importance: {name}"
            yield Picture(f"importance{suffix}", title, IMPORTANCE, part, told | options)
    if params := _varied(first):
        options = {"target_name": names[0], "params": params}
        yield Picture("parallel", f"Parallel coordinates: {names[0]}", PARALLEL, parts[0], options)
    else:
        logger.info("No parallel coordinates: no parameter differs between trials")
    whole = _copy_study(study, range(len(names)))
    for place, name in enumerate(names[1:], start=1):
        options = {  # the front of all objectives, seen along two of them
            "target_names": [names[0], name],
            "targets": lambda trial, place=place: [trial.values[0], trial.values[place]],
        }
        suffix = suffixes[place] if place > 1 else ""
        title = f"Pareto front: {name} against {names[0]}"
        yield Picture(f"pareto{suffix}", title, PARETO, whole, options)


def _plan_importance(study: Any, name: str) -> dict[str, Any]:
    """Return what the importance for an objective is computed with, nothing if it cannot be."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    trials = _complete(study)
    seen = Counter(param for trial in trials for param in trial.params)
    params = [param for param in _varied(trials) if seen[param] > 1]
    reason = ""
    if len(trials) < FEWEST:
        reason = f"{len(trials)} complete trials, {FEWEST} are needed"
    elif len(params) < 2:
        reason = f"{len(params)} parameters differ between trials, 2 are needed"
    else:
        # Optuna's best tenth would be a trial or two of a small study.
        quantile = min(max(0.1, FEWEST / len(trials)), 0.5)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
        shares = get_param_importances(study, evaluator=evaluator, params=params)
        if len(set(shares.values())) == 1:  # how Optuna says that it cannot tell
            reason = "no trials stand out as good"
    if reason:
        logger.info("No parameter importance for %s: %s", name, reason)
        return {}
    if left_out := sorted(seen.keys() - set(params)):
        logger.info("Parameter importance for %s leaves out %s", name, ", ".join(left_out))
    return {"evaluator": evaluator, "params": params}


def draw_png(picture: Picture) -> bytes:
    """Return a picture as PNG; pyplot is left as it was found."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as drawer

    content = io.BytesIO()
    with ExitStack() as stack:
        stack.callback(plt.switch_backend, mpl.get_backend())
        plt.switch_backend("agg")  # windows need a screen and the main thread
        stack.enter_context(mpl.rc_context({"figure.figsize": picture.size, "figure.dpi": DPI}))
        axis = getattr(drawer, picture.function)(picture.study, **picture.options)
        stack.callback(plt.close, axis.figure)  # the one that was current before is so again
        _tidy(axis, picture)
        axis.figure.savefig(content, format="png", bbox_inches="tight")
    return content.getvalue()


def _tidy(axis: Any, picture: Picture) -> None:
    """Make a picture legible: on white, with full names and room for each."""
    from matplotlib.ticker import MaxNLocator

    axis.set_title("")
    axis.set_title(picture.heading, loc="left", fontsize="large", pad=12)
    axis.set_facecolor("white")
    if picture.function != PARALLEL:
        axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    if picture.function == HISTORY:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for line in axis.lines:
            line.set_drawstyle("steps-post")
    elif picture.function == IMPORTANCE:
        axis.legend().remove()  # the title names the objective
        axis.grid(visible=False, axis="y")
        for text in axis.texts:
            text.set_text(f" {text.get_text()}")
    elif picture.function == PARALLEL:
        names = picture.axes
        axis.set_xticks(range(len(names)), names, rotation=20, ha="right", rotation_mode="anchor")
        for label in [one for other in axis.figure.axes for one in other.get_yticklabels()]:
            label.set_bbox({"facecolor": "white", "alpha": 0.7, "pad": 0.5, "linewidth": 0})
        lines = axis.collections[0]
        values, paths, styles = lines.get_array(), lines.get_segments(), lines.get_linestyle()
        scale, *ends = _colours(values, picture.study)
        order = np.argsort(values if scale == "viridis_r" else -values)  # good trials on top
        lines.set(array=values[order], cmap=scale, clim=ends)
        lines.set_segments([paths[place] for place in order])
        lines.set_linestyle([styles[place % len(styles)] for place in order])


def draw_page(study: Any, pictures: Mapping[str, bytes]) -> str:
    """Return a page of all pictures, by their headings; the trials' values are in MLflow."""
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    page: str = open_template(__package__, "study.html.j2").render(
        name=study.study_name,
        counts=", ".join(f"{states[state]} {state}" for state in sorted(states)),
        pictures={name: base64.b64encode(png).decode() for name, png in pictures.items()},
    )
    return page


def _colours(values: Any, study: Any) -> tuple[str, float, float]:
    """Return a scale on which good values are dark, and its ends: Tukey's fences.

    With an outlier at its end, the scale would show all other trials in one colour.
    """
    first, third = np.quantile(np.asarray(values), (0.25, 0.75))
    low = max(values.min(), first - 1.5 * (third - first))
    high = min(values.max(), third + 1.5 * (third - first))
    pad = 0.0 if low < high else 0.5
    minimized = study.direction.name == "MINIMIZE"
    return "viridis" if minimized else "viridis_r", float(low - pad), float(high + pad)


def _copy_study(study: Any, places: Sequence[int]) -> Any:
    """Return a study in memory with some of the objectives of another one.

    With a single objective, Optuna's pictures know the direction: they show the best value so far
    and take high values for good where they are. Of one among several they do not.
    """
    from optuna import load_study
    from optuna.storages import InMemoryStorage
    from optuna.trial import TrialState, create_trial

    storage = InMemoryStorage()
    number = storage.create_new_study([study.directions[place] for place in places], "copy")
    for trial in study.get_trials(deepcopy=False):
        copy = create_trial(state=TrialState.FAIL)
        if trial.state == TrialState.COMPLETE and np.isfinite(trial.values).all():
            values = [trial.values[place] for place in places]
            copy = create_trial(values=values, system_attrs=trial.system_attrs)
            # set now, for what was enqueued may lie outside its range, which is refused above
            copy.params, copy.distributions = trial.params, trial.distributions
        storage.create_new_trial(number, template_trial=copy)
    return load_study(study_name="copy", storage=storage)


def _complete(study: Any) -> list[Any]:
    """Return the complete trials of a copy."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.values]


def _varied(trials: Sequence[Any]) -> list[str]:
    """Return the parameters that tell trials apart, in order; absence is a value too."""
    names = sorted({name for trial in trials for name in trial.params})
    return [name for name in names if len({repr(one.params.get(name)) for one in trials}) > 1]
