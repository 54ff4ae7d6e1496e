"""The verb `ablate`: the paper's Table 3 on any data, over several seeds, with the spread between them.

Each row and seed is a training of its own in the run folder, with the same data, budget and seeds as the others; it
goes on where it was interrupted, and what is done is not done again. So the rows can be shared out among processes.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from mssts.atomic_file import write_atomically
from mssts.config import VARIANTS
from mssts.errors import BadInputError
from mssts.tools.allocator import keep_freed_memory
from mssts.tools.train import require_training_libraries
from mssts.train.config import TrainConfig

# Paper: Table 3, left. Each row's model, and whether it trains with the adversarial loss.
ROWS = {
    "baseline": ("baseline-", False),
    "ms-sts": ("ms-sts-", False),
    "ms-sts+t-dec": ("", False),
    "ms-sts+t-dec+fg-bg": ("", True),
}
RESULT_FILE = "result.json"


def run_ablate(arguments: Sequence[str]) -> int:
    """Train what is missing of the chosen rows and seeds, then print the table of all that is there.

    Raises:
        BadInputError: The libraries of training are missing, or the configuration names no set to evaluate on.
    """
    require_training_libraries()
    from mssts.train.parse import parse_train_config
    from mssts.train.stop import StopRequest

    options, rest = _parse(arguments)
    base = parse_train_config(rest)
    if base.evaluation.data is None:
        raise BadInputError("ablate: needs --evaluation.data, the set that the rows are compared on")
    keep_freed_memory()
    should_stop = StopRequest(base.max_minutes)
    for seed in [] if options.table else options.seeds:
        for row in options.rows:
            if should_stop():
                break
            _train_row(base, row_config(base, row, seed), should_stop)
    print(table(base.out))
    return 0


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The ablation's own options, and those of its trainings."""
    parser = argparse.ArgumentParser(
        prog="mssts ablate",
        description="Train the paper's four models over several seeds; all other options are those of mssts train.",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="(default: 0 1)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), help="(default: all four)")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    return parser.parse_known_args(arguments)


def row_config(base: TrainConfig, row: str, seed: int) -> TrainConfig:
    """The training of one row and seed: all but the model, the adversary and the seed are the same."""
    variant, adversarial = ROWS[row]
    return replace(
        base,
        preset=variant + base.preset,
        model=VARIANTS[variant](base.model),
        adversarial=replace(base.adversarial, enabled=adversarial),
        # The ablation evaluates each row itself, once, and all on one set.
        evaluation=replace(base.evaluation, data=None),
        seed=seed,
        out=base.out / f"{row}-seed{seed}",
        resume="auto",
    )


def _train_row(base: TrainConfig, config: TrainConfig, should_stop: Callable[[], bool]) -> None:
    """Train, evaluate and leave `result.json`, unless it is there already or somebody asks to stop."""
    from mssts.train.loop import train

    path = config.out / RESULT_FILE
    if path.exists():
        return
    print(f"{config.out}: training", flush=True)
    state = train(config, should_stop)
    if should_stop():
        return
    numbers = _evaluate(base, config.out)
    numbers |= {"steps": state.step, "minutes": round(state.elapsed_s / 60, 1)}
    write_atomically(path, json.dumps(numbers, indent=1) + "\n")


def _evaluate(base: TrainConfig, folder: Path) -> dict[str, float]:
    """Video AP of the model in a row's folder: on all videos, and by attribute (paper: Table 3, right)."""
    from mssts.api import pick_device
    from mssts.checkpoint import load_model
    from mssts.evaluate.attribute_subsets import attribute_subsets
    from mssts.evaluate.run_model import evaluate_model
    from mssts.evaluate.video_ap import match_results, video_ap
    from mssts.train.evaluation import validation_set

    truth = validation_set(base)
    results = evaluate_model(load_model(folder), truth, device=pick_device("auto"), mode=base.evaluation.mode)
    matches = match_results(truth, results)
    overall = video_ap(matches).numbers
    subsets = {name: video_ap(matches, ids).numbers["AP"] for name, ids in attribute_subsets(truth).items()}
    return {name: overall[name] for name in ("AP", "AP50", "AP75")} | subsets


def table(out: Path) -> str:
    """The results in a run folder as a Markdown table: mean and standard deviation over the seeds, in percent."""
    rows = {row: [json.loads(p.read_text()) for p in sorted(out.glob(f"{row}-seed*/{RESULT_FILE}"))] for row in ROWS}
    found = {row: results for row, results in rows.items() if results}
    if not found:
        return f"{out}: no results yet"
    columns = [name for name in next(iter(found.values()))[0] if name not in ("steps", "minutes")]
    lines = [f"| model | seeds | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for row, results in found.items():
        cells = [_cell([result[name] for result in results]) for name in columns]
        lines.append(f"| {row} | {len(results)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    """Mean and spread in percent, over the seeds for which the number is defined (-1 where it is not)."""
    values = [value for value in values if value >= 0]
    if not values:
        return "–"
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"
