"""Figure 9 of the Model Monitor paper: how much the model leans on attribute A14 (no checking account), day by day.

    python -m examples.german_credit_attribution [--rows 100] [--figure figure9.png]

The importance is the mean absolute Shapley value, in log-odds, of so many applicants of the day, by Kernel SHAP from
the model's answers. It alarms when it has surely moved by more than 1 % of the importance of all attributes. What
happens is in `german_credit.py`: from day 8 on foreign workers come with A14, all of them; from day 15 on one applicant
in three is no foreign worker, so that A201 and A202 matter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

import mmon_ray
from examples.german_credit import ALARM, DAYS, FINE, day, inputs, marked


def reports(rows: int) -> list[mmon_ray.Report]:
    """One of each day."""
    # A model that is linear in its answers has exact Shapley values by few coalitions.
    leaning = mmon_ray.Attribution("examples.german_credit:log_odds", rows=rows, coalitions=128, margin=0.01)
    monitor = mmon_ray.Monitor("credit", analyses=(leaning,))

    def asked(number: int) -> pd.DataFrame:
        return inputs(day(number, 2_000)).assign(id=range(2_000))  # the id makes rows of one person two rows

    baseline = monitor.fit(asked(0), ignored="id")
    windows = (mmon_ray.fold(asked(number), monitor.zero(baseline.schema)) for number in range(1, DAYS + 1))
    return [monitor.evaluate(window, baseline) for window in windows]


def draw(found: Sequence[mmon_ray.Report], path: str) -> None:
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(6.5, 3.6), layout="constrained")
    limit = next(one for one in found[0].constraints if one.column == "A14")
    for number, report in enumerate(found, 1):
        metric, alarm = (
            report.metric("attribution", "A14"),
            any(one.constraint.column == "A14" for one in report.violations),
        )
        panel.errorbar(number, metric.value, 1.96 * metric.test.std, fmt="o", ms=4, color=ALARM if alarm else FINE)
    marked(panel, limit.lower, limit.upper)
    panel.set(title="importance of A14 (no checking account)", ylabel="mean |Shapley value|, log-odds", ylim=(0, 0.68))
    panel.legend(loc="lower left", fontsize="small", title="alarms are adjusted for 62 numbers", title_fontsize="small")
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100, help="applicants of a day that are explained")
    parser.add_argument(
        "--figure", metavar="PATH.png", help="draws the figure; needs matplotlib: pip install '.[examples]'"
    )
    options = parser.parse_args()
    found = reports(options.rows)
    print("day  importance of A14   NDCG  moved")
    for number, report in enumerate(found, 1):
        metric, ndcg = report.metric("attribution", "A14"), report.metric("attribution_ndcg")
        moved = ", ".join(sorted(one.constraint.column for one in report.violations)) or "-"
        print(f"{number:3}      {metric.value:.3f} ± {metric.std:.3f}  {ndcg.value:.3f}  {moved}")
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
