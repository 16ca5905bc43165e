"""Anomalies of each metric, and the share of metrics that are anomalous at once."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from alluse_analytics.frames import Bools, Floats, Table, finite, held, table
from alluse_analytics.settings import AnomalySettings
from alluse_analytics.shapes import frozen, ramping
from alluse_analytics.tracker import calibrated, hold, scores, starts
from alluse_core.model import Finding, Scalar, SeriesId
from alluse_core.ports import Frame

_SECONDS_A_DAY = 86_400.0
_KEPT_POINTS = 240
_BLOCK = 32


@attrs.frozen(eq=False)
class Detection:
    """What was found, one row a series.

    ``score`` is 1 at the threshold; ``flags`` are held; ``events`` are their beginnings;
    ``frozen`` and ``ramp`` say which detector spoke. ``calibrated`` rows had enough peaks for the
    budget to mean something.
    """

    score: Floats
    flags: Bools
    events: Bools
    frozen: Bools
    ramp: Bools
    calibrated: Bools


def detect(values: Floats, step: float, settings: AnomalySettings) -> Detection:
    """Run all detectors over rows of samples ``step`` seconds apart."""
    probability = min(0.01, settings.false_alarms_per_day * step / _SECONDS_A_DAY)
    found = scores(values)
    # What follows works on whole rows at once and needs several copies of them: by blocks, four
    # hours of 300 metrics stay within a few hundred megabytes.
    blocks = [
        _judged(
            found[begin : begin + _BLOCK], values[begin : begin + _BLOCK], probability, settings
        )
        for begin in range(0, max(len(values), 1), _BLOCK)
    ]
    return Detection(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _judged(
    found: Floats, values: Floats, probability: float, settings: AnomalySettings
) -> tuple[Floats, Bools, Bools, Bools, Bools, Bools]:
    scaled, known = calibrated(found, probability, settings.warm_up)
    still = frozen(values, probability, settings.warm_up)
    ramp = ramping(values, settings.warm_up)
    flags = hold((scaled >= 1.0) | still | ramp, settings.hold)
    return scaled, flags, starts(flags), still, ramp, known


class Anomalies:
    """A multi-scale tracker with an extreme-value threshold, and detectors for freezes and ramps.

    The alarm budget is in false alarms per metric and day; the threshold is the score that the
    fitted tail exceeds that often.
    """

    name = "anomaly"

    def __init__(self, settings: AnomalySettings) -> None:
        self._settings = settings

    def analyze(self, frame: Frame) -> Sequence[Finding]:
        """Return one finding for each series with anomalies, and one for the node."""
        frame = held(frame)
        if not frame.series:
            return []
        # Numbers near the end of float64 overflow; what did so is reported as not known.
        with np.errstate(all="ignore"):
            found = self._analyze(frame)
        return [attrs.evolve(finding, facts=finite(finding.facts)) for finding in found]

    def _analyze(self, frame: Frame) -> Sequence[Finding]:
        data = table(frame)
        length = len(data.times)
        if length <= self._settings.warm_up:
            facts: dict[str, Scalar] = {
                "n": length,
                "warm_up": self._settings.warm_up,
                "verdict": "too short to tell",
            }
            text = f"anomalies: too short to tell ({length} samples of {self._settings.warm_up})"
            return [Finding(self.name, "node_anomaly_rate", None, facts, text)]
        detection = detect(data.values, data.step, self._settings)
        found = [
            self._series(series, data, detection, row)
            for row, series in enumerate(frame.series)
            if detection.events[row].any()
        ]
        found.sort(key=lambda finding: -_number(finding.facts["peak"]))
        return [self._node(data, detection), *found]

    def _series(self, series: SeriesId, data: Table, found: Detection, row: int) -> Finding:
        events = np.flatnonzero(found.events[row])
        score = np.nan_to_num(found.score[row])
        flagged = np.flatnonzero(found.flags[row])
        peak = flagged[score[flagged].argmax()]
        causes = [
            word
            for word, flags in (("freeze", found.frozen[row]), ("ramp", found.ramp[row]))
            if flags.any()
        ]
        if (score >= 1.0).any():
            causes.insert(0, "deviation")
        now = data.times[-1] - self._settings.recent_seconds
        facts: dict[str, Scalar] = {
            "events": len(events),
            "active": bool(found.flags[row, -1]),
            "recent": bool((data.times[flagged] >= now).any()),
            "peak": float(score[peak]),
            "peak_time": float(data.times[peak]),
            "peak_value": float(data.values[row, peak]),
            "causes": ",".join(causes),
            "calibrated": bool(found.calibrated[row]),
            "as_rate": bool(data.as_rate[row]),
            "false_alarms_per_day": self._settings.false_alarms_per_day,
        }
        text = (
            f"{series}: {len(events)} anomal{'y' if len(events) == 1 else 'ies'}"
            f" ({facts['causes']}), worst {facts['peak']:.2f} times the threshold"
        )
        points = {
            "event_times": tuple(data.times[events[-_KEPT_POINTS:]].tolist()),
            "event_values": tuple(data.values[row, events[-_KEPT_POINTS:]].tolist()),
        }
        return Finding(self.name, "anomaly", series, facts, text, points)

    def _node(self, data: Table, found: Detection) -> Finding:
        judged = data.values[:, self._settings.warm_up :]
        present = ~np.isnan(judged)
        count = np.maximum(present.sum(axis=0), 1)
        rate = (found.flags[:, self._settings.warm_up :] & present).sum(axis=0) / count * 100.0
        worst = int(rate.argmax())
        times = data.times[self._settings.warm_up :]
        facts: dict[str, Scalar] = {
            "n": len(data.times),
            "metrics": len(data.values),
            "anomalous_metrics": int(found.events.any(axis=1).sum()),
            "events": int(found.events.sum()),
            "rate_now": float(rate[-1]),
            "rate_max": float(rate[worst]),
            "rate_max_time": float(times[worst]),
            "verdict": "judged",
        }
        text = (
            f"{facts['anomalous_metrics']} of {facts['metrics']} metrics had anomalies;"
            f" at most {facts['rate_max']:.1f} % at once, {facts['rate_now']:.1f} % now"
        )
        stride = -(-len(rate) // _KEPT_POINTS)
        cut = len(rate) // stride * stride
        # The worst of each stretch is kept: a mean would hide a short burst.
        worst_of = rate[len(rate) - cut :].reshape(-1, stride).max(axis=1)
        points = {
            "times": tuple(times[len(rate) - cut :: stride].tolist()),
            "rate": tuple(worst_of.tolist()),
        }
        return Finding(self.name, "node_anomaly_rate", None, facts, text, points)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
