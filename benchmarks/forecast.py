"""What share of truths the forecast's 80 and 95 % intervals hold, on recorded series.

python -m benchmarks.forecast [--data FOLDER]

Every series is cut into histories as long as the analysis window, one begun each half hour; each
is forecast 30 minutes and 2 hours ahead by what it holds alone, and compared with what came. Each
series counts the same. The recordings are Microsoft's cloud-monitoring and Numenta's series of
``../shared/data/series``; they are not part of this repository.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import attrs
import numpy as np
from alluse_analytics.forecast import FEWEST_ERRORS, forecast_only, pinball
from alluse_analytics.frames import Floats

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "series"
PATTERNS = ("cloud/*/*.csv.gz", "nab/realAWSCloudwatch/*.gz", "nab/realKnownCause/*.gz")
HORIZONS = (1800.0, 7200.0)
HISTORIES = (4 * 3600.0, 24 * 3600.0)
_STRIDE = 1800.0
_MOST_WINDOWS = 400


@attrs.frozen
class Score:
    """One series at one horizon: shares of truths held, loss against naive, forecasts scored."""

    name: str
    coverage80: float
    coverage95: float
    loss_ratio: float
    scored: int


def series(folder: Path) -> Iterator[tuple[str, float, Floats]]:
    """Yield (name, seconds between samples, values) of each recording."""
    for pattern in PATTERNS:
        for file in sorted(folder.glob(pattern)):
            with gzip.open(file, "rt") as stream:
                rows = list(csv.reader(stream))[1:]
            times = [datetime.fromisoformat(row[0]).timestamp() for row in rows]
            values = np.array([float(row[1] or "nan") for row in rows])
            yield file.name, float(np.median(np.diff(times))), values


def score(name: str, values: Floats, step: float, history: float, horizon: float) -> Score | None:
    """Score one series; None where it is too short or its samples too far apart."""
    length, steps, stride = (round(s / step) for s in (history, horizon, _STRIDE))
    begins = np.arange(0, len(values) - length - steps + 1, max(1, stride))[:_MOST_WINDOWS]
    if steps < 1 or len(begins) < 1 or length < steps + FEWEST_ERRORS:
        return None
    windows = np.stack([values[begin : begin + length] for begin in begins])
    truth = values[begins + length + steps - 1]
    quantiles = forecast_only(windows, steps)
    last = np.array([window[~np.isnan(window)][-1:].sum() for window in windows])
    naive = last[:, None] + np.zeros(quantiles.shape[1])
    valid = ~np.isnan(truth) & ~np.isnan(quantiles).any(axis=1)
    if not valid.any():
        return None
    low95, low80, _, high80, high95 = quantiles[valid].T
    held = truth[valid]
    own, other = pinball(held, quantiles[valid]).sum(), pinball(held, naive[valid]).sum()
    return Score(
        name,
        float(((low80 <= held) & (held <= high80)).mean()),
        float(((low95 <= held) & (held <= high95)).mean()),
        float(own / other) if other > 0 else float("nan"),
        int(valid.sum()),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each history and horizon; return 1 where there are no recordings."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    recorded = list(series(options.data))
    if not recorded:
        print(f"no recordings under {options.data}: not measured", file=sys.stderr)
        return 1
    for history in HISTORIES:
        for horizon in HORIZONS:
            scores = [score(n, v, step, history, horizon) for n, step, v in recorded]
            found = [item for item in scores if item is not None]
            if not found:
                continue
            c80, c95 = (np.array([getattr(s, f"coverage{n}") for s in found]) for n in (80, 95))
            near = np.mean((abs(c80 - 0.80) <= 0.10) & (abs(c95 - 0.95) <= 0.10))
            print(
                f"history {history / 3600:g} h, {horizon / 60:g} min ahead: {len(found)} series,"
                f" {sum(s.scored for s in found)} forecasts; nominal 80 % held {c80.mean():.1%},"
                f" nominal 95 % held {c95.mean():.1%}; {near:.0%} of series within 10 points;"
                f" median loss"
                f" {np.nanmedian([s.loss_ratio for s in found]):.2f} of the last value's alone"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
