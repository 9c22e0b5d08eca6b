"""Measure the sampled pictures and write results.json, results.md and plots."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from gcfg_core.errors import InputError

from ..durable import write_bytes, write_json
from .drift import measure_drift
from .examples import draw_examples, draw_glasses
from .experiment import wanted_settings
from .judge import GLASSES_JUDGE, JUDGE, accuracy, read_judge
from .labelled import Labelled, read_labelled
from .measure import ConceptFeatures, Measurer
from .models import Models
from .page import page, tables
from .plots import write_plots
from .rows import Row, earlier_results, over_seeds, with_earlier
from .samples import path_of, read_samples, wanted
from .settings import SHOWN, SHOWN_WITH_GLASSES, TOON, TUNED, WITHOUT_CAPTIONS
from .spectacles import put_on, with_spectacles
from .styles import GLASSES, WORN
from .styles import TOON as STYLE

RESULTS, EXAMPLES, GLASSES_EXAMPLES = "results.json", "examples.png", "glasses_examples.png"
DRIFT_PICTURES = 32
Drift = dict[str, list[float]]


def write_results(
    models: Models, pictures: Path, samples: Path, output: Path, count: int, seeds: int, only: Collection[str] = ()
) -> str:
    """Measure every sampled setting against the first concept; return the tables.

    Earlier results of other settings are kept.

    Args:
        models: locations of the models; the starter folder has the judges too.
        pictures: archive or folder of the real pictures.
        samples: folder written by `python dev.py bench miniature`.
        output: folder for the results.
        count, seeds, only: selection of the samples; see `experiment.add_options`.

    Raises:
        InputError: nothing was sampled.
    """
    measure = Measurer(read_judge(models.starter / JUDGE), read_judge(models.starter / GLASSES_JUDGE, WORN))
    held_out, training = (read_labelled(pictures, f"{TOON}/{part}") for part in ("test", "train"))
    concept = measure.concept(STYLE.name, held_out, training)
    rows = _rows(models, samples, measure, concept, count, seeds, only)
    if not rows:
        raise InputError(str(samples), "sampled pictures", "none", "Run python dev.py bench miniature first.")
    earlier = earlier_results(output / RESULTS, count)
    rows = with_earlier(rows, earlier["rows"], models)
    facts = {"count": count, **_facts(measure, concept, held_out, training.pixels[:count])}
    summary = over_seeds(rows)
    drift = _drift(models, pictures, rows, earlier["drift"])
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / RESULTS, {**facts, "rows": rows, "summary": summary, "drift": drift})
    plots = write_plots(output, summary, facts["floor"], drift)
    _draw(models, samples, held_out, output, count)
    there = [path for path in (output / EXAMPLES, output / GLASSES_EXAMPLES, *plots) if path.is_file()]
    write_bytes(output / "results.md", page(facts, summary, there).encode())
    return tables(summary)


def _rows(
    models: Models,
    samples: Path,
    measure: Measurer,
    concept: ConceptFeatures,
    count: int,
    seeds: int,
    only: Collection[str],
) -> list[Row]:
    """Return a row for each sampled setting and seed."""
    rows = []
    for seed in range(seeds):
        for setting in tqdm(wanted_settings(models, only), f"seed {seed}"):
            path = path_of(samples, models, setting, seed, count)
            if path.is_file():
                row = measure.row(read_samples(path), wanted(seed, count, setting.glasses), concept)
                key = {"group": setting.group, "name": setting.name, "seed": seed}
                rows.append({**key, **row, "models": models.digests(setting), "setting": setting.as_json()})
    return rows


def _facts(measure: Measurer, concept: ConceptFeatures, held_out: Labelled, real: Tensor) -> dict[str, Any]:
    """Return the judges' accuracy, and FD and KID of real pictures [N, 3, H, W], without and with spectacles."""
    worn = real.clone()
    worn[1::2] = put_on(worn[1::2], seed=2)
    return {
        "judge": accuracy(measure.judge, held_out),
        "glasses_found": accuracy(measure.glasses_judge, with_spectacles(held_out, seed=1))[GLASSES],
        "glasses_imagined": 1.0 - accuracy(measure.glasses_judge, held_out)[GLASSES],
        "floor": measure.floor(real, concept),
        "floor_with_glasses": measure.floor(worn, concept),
    }


def _drift(models: Models, pictures: Path, rows: Iterable[Row], earlier: Drift) -> Drift:
    """Measure the drift of existing models; keep earlier results of models that are missing but occur in the rows."""
    names = [name for name in (TUNED, WITHOUT_CAPTIONS) if name in models.names]
    drift = measure_drift(models, names, read_labelled(pictures, "open/test").pixels[:DRIFT_PICTURES])
    of_rows = set().union(*(row["models"] for row in rows))
    return drift | {name: line for name, line in earlier.items() if name in of_rows - drift.keys()}


def _draw(models: Models, samples: Path, held_out: Labelled, output: Path, count: int) -> None:
    """Make the example grids whose samples all exist."""
    if drawn := _drawn(models, samples, count, SHOWN):
        draw_examples(held_out, wanted(0, count), drawn).save(output / EXAMPLES)
    if drawn := _drawn(models, samples, count, SHOWN_WITH_GLASSES):
        draw_glasses(wanted(0, count, glasses=True), drawn).save(output / GLASSES_EXAMPLES)


def _drawn(models: Models, samples: Path, count: int, names: Collection[str]) -> dict[str, Tensor]:
    """Return the first seed's pictures of each of these settings; {} if any is missing."""
    paths = {one.name: path_of(samples, models, one, 0, count) for one in wanted_settings(models, names)}
    there = len(paths) == len(names) and all(path.is_file() for path in paths.values())
    return {name: read_samples(path).pixels for name, path in paths.items()} if there else {}
