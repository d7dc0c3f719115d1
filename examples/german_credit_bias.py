"""Figure 8 of the Model Monitor paper: two metrics of bias against foreign workers, day by day, and the days on which
they alarm.

    python -m examples.german_credit_bias [--rows 20000] [--figure figure8.png]

DCR may be within 0.5 of 0 and CDDL, given the kind of housing, within 0.1; a day alarms when its 95 % interval is
outside. What happens is in `german_credit.py`: from day 8 on the model is too kind to foreign workers, which DCR sees,
for it compares predictions with labels. From day 15 on others apply, too, who are better debtors; CDDL sees that, for
it compares who is accepted with who is rejected.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import mmon_ray
from examples.german_credit import ALARM, DAYS, FINE, day, marked

LIMITS = {"DCR": 0.5, "CDDL": 0.1}
WHO = mmon_ray.Facet("foreign_worker", "A201")


def reports(rows: int) -> list[mmon_ray.Report]:
    """One of each day."""
    bias = mmon_ray.Bias((WHO,), positive="1", group="housing", metrics=tuple(LIMITS))
    monitor = mmon_ray.Monitor("credit", analyses=(bias,))
    baseline = monitor.fit(day(0, rows), label="class")
    allowed = [
        replace(one, lower=-LIMITS[one.name], upper=LIMITS[one.name])
        for one in baseline.constraints
        if one.name in LIMITS
    ]
    others = [one for one in baseline.constraints if one.name not in LIMITS]
    baseline = replace(baseline, constraints=(*allowed, *others))  # as editing checks.json does
    windows = (mmon_ray.fold(day(number, rows), monitor.zero(baseline.schema)) for number in range(1, DAYS + 1))
    return [monitor.evaluate(window, baseline) for window in windows]


def draw(found: Sequence[mmon_ray.Report], path: str) -> None:
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for panel, (name, limit) in zip(panels, LIMITS.items(), strict=True):
        metrics = [report.metric(name, WHO.column("A201")) for report in found]
        outside = [any(one.constraint.name == name for one in report.violations) for report in found]
        for number, (metric, alarm) in enumerate(zip(metrics, outside, strict=True), 1):
            panel.errorbar(number, metric.value, 1.96 * metric.std, fmt="o", ms=4, color=ALARM if alarm else FINE)
        marked(panel, -limit, limit)
        low, high = panel.get_ylim()
        panel.set(title=f"facet ForeignWorker, threshold {limit:g}", ylabel=name, ylim=(low, high + 0.1 * (high - low)))
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 0.1), fontsize="small")
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="applicants a day")
    parser.add_argument(
        "--figure", metavar="PATH.png", help="draws the figure; needs matplotlib: pip install '.[examples]'"
    )
    options = parser.parse_args()
    found = reports(options.rows)
    print("day           DCR            CDDL  alarms")
    for number, report in enumerate(found, 1):
        cells = (
            f"{metric.value:7.3f} ± {metric.std:.3f}"
            for metric in (report.metric(name, WHO.column("A201")) for name in LIMITS)
        )
        print(f"{number:3} ", *cells, "", ", ".join(sorted(one.constraint.name for one in report.violations)) or "-")
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
