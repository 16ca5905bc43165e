"""How isolated each moment is among all metrics together."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from alluse_analytics.frames import Floats, finite, held, table
from alluse_analytics.settings import IsolationSettings
from alluse_core.model import Finding, Scalar, SeriesId
from alluse_core.ports import Frame

_CONTRIBUTORS = 5
# The forest reads float32.
_MOST_Z = 1e30
_GROWN_ON = 4
# One row in thirty is judged at most: with fewer earlier ones to rank among, not even the most
# isolated of several recent rows could be told from chance.
_EARLIER_PER_RECENT = 30
_MAD_TO_DEVIATION = 1.4826


@attrs.frozen(eq=False)
class Isolated:
    """Scores of the recent rows (higher is more isolated), their p values, and all z scores.

    ``p`` is the conformal p value: the share of held-out earlier rows at least as isolated.
    """

    scores: Floats
    p: Floats
    reference: Floats
    z: Floats


def isolate(rows: Floats, recent: int, settings: IsolationSettings) -> Isolated:
    """Judge the newest ``recent`` rows (one column a metric, no NaN) by the ones before them.

    The forest (Liu, Ting & Zhou 2008) is grown on every fourth earlier row; the others calibrate
    the p values, as in split conformal prediction, so that no row is judged by a forest that has
    seen it.
    """
    from sklearn.ensemble import IsolationForest

    z = standardised(rows, recent)
    before, now = z[:-recent], z[-recent:]
    forest = IsolationForest(
        n_estimators=settings.trees,
        contamination=settings.contamination,
        random_state=settings.seed,
        n_jobs=1,
    ).fit(before[::_GROWN_ON])
    reference = -forest.score_samples(np.delete(before, np.s_[::_GROWN_ON], axis=0))
    scores = -forest.score_samples(now)
    at_least = (reference[None, :] >= scores[:, None]).sum(axis=1)
    return Isolated(scores, (1.0 + at_least) / (1.0 + len(reference)), reference, z)


def standardised(rows: Floats, recent: int) -> Floats:
    """Return columns less their median over their deviation (MAD), both of the earlier rows."""
    before = rows[:-recent]
    middle = np.median(before, axis=0)
    spread = np.median(np.abs(before - middle), axis=0) * _MAD_TO_DEVIATION
    fallback = before.std(axis=0)
    spread = np.where(spread > 0, spread, np.where(fallback > 0, fallback, 1.0))
    return np.asarray(np.clip((rows - middle) / spread, -_MOST_Z, _MOST_Z))


class Isolation:
    """One isolation forest over all metrics: rank, calibrated p, and which metrics contributed.

    ``contamination`` is how large a share of moments is *reported*; it is no alarm threshold.
    """

    name = "isolation"

    def __init__(self, settings: IsolationSettings) -> None:
        self._settings = settings

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return one finding for the most isolated of the recent moments."""
        frame = held(frame)
        if not frame.series:
            return []
        # Numbers near the end of float64 overflow; what did so is reported as not known.
        with np.errstate(all="ignore"):
            found = self._analyze(frame)
        return [attrs.evolve(finding, facts=finite(finding.facts)) for finding in found]

    def _analyze(self, frame: Frame) -> Sequence[Finding]:
        settings = self._settings
        data = table(frame)
        values = data.values[:, -settings.most_rows :]
        times = data.times[-settings.most_rows :]
        usable = _usable(values)
        rows = _filled(values[usable]).T
        if len(rows) < settings.fewest or not usable.any():
            facts: dict[str, Scalar] = {
                "n": len(rows),
                "fewest": settings.fewest,
                "verdict": "too short to tell",
            }
            text = f"joint anomalies: too short to tell ({len(rows)} of {settings.fewest} rows)"
            return [Finding(self.name, "isolation", None, facts, text)]
        recent = min(settings.recent, len(rows) // _EARLIER_PER_RECENT)
        found = isolate(rows, recent, settings)
        series = [item for item, used in zip(frame.series, usable, strict=True) if used]
        return [self._finding(found, series, times[-recent:], len(rows))]

    def _finding(
        self, found: Isolated, series: Sequence[SeriesId], times: Floats, n: int
    ) -> Finding:
        worst = int(found.scores.argmax())
        recent = len(times)
        reported = int(np.ceil(self._settings.contamination * recent))
        order = np.argsort(-found.scores)
        weight = np.abs(found.z[-recent:][worst])
        largest = np.argsort(-weight)[:_CONTRIBUTORS]
        p_any = 1.0 - (1.0 - found.p[worst]) ** recent
        facts: dict[str, Scalar] = {
            "n": n,
            "metrics": len(series),
            "recent": recent,
            "contamination": self._settings.contamination,
            "reported": reported,
            "most_isolated_time": float(times[worst]),
            "score": float(found.scores[worst]),
            "p": float(found.p[worst]),
            "p_any_of_recent": float(p_any),
            "verdict": "isolated" if p_any < 0.05 else "usual",
        }
        for rank, column in enumerate(largest, start=1):
            facts[f"metric_{rank}"] = str(series[column])
            facts[f"z_{rank}"] = float(found.z[-recent:][worst][column])
        text = (
            f"the most isolated of the last {recent} moments has p = {facts['p']:.2g}"
            f" ({facts['p_any_of_recent']:.2g} for any of them), most by {facts['metric_1']}"
        )
        points = {
            "reported_times": tuple(times[order[:reported]].tolist()),
            "reported_scores": tuple(found.scores[order[:reported]].tolist()),
        }
        return Finding(self.name, "isolation", None, facts, text, points)


def _usable(values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which rows are there half of the time and move at all."""
    present = ~np.isnan(values)
    held = np.where(present, values, -np.inf).max(axis=1, initial=-np.inf)
    least = np.where(present, values, np.inf).min(axis=1, initial=np.inf)
    return np.asarray((present.mean(axis=1) >= 0.5) & (held > least))


def _filled(values: Floats) -> Floats:
    """Return rows with what is absent at the row's median: neither usual nor unusual."""
    if not values.size:
        return values
    middle = np.nanmedian(values, axis=1, keepdims=True)
    return np.asarray(np.where(np.isnan(values), middle, values))
