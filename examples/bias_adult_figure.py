"""Draws figure 3 of the Model Monitor paper from what `bias_adult.py` has found: the paper's interval above, the
default below."""

from __future__ import annotations

from matplotlib import pyplot

from examples.bias_adult import DRAWS, OURS, PAPERS, RANGES, SIZES, Found


def draw(found: Found, path: str) -> None:
    figure, rows = pyplot.subplots(2, 3, figsize=(9, 5), layout="constrained", sharex=True, sharey=True)
    titles = {PAPERS: f"the paper's: confidence {PAPERS:g}", OURS: f"our default: confidence {OURS:g}"}
    for panels, (confidence, title) in zip(rows, titles.items(), strict=True):
        for panel, name in zip(panels, RANGES, strict=True):
            for draws in DRAWS:
                shares = [100 * found[confidence, draws, size][name] for size in SIZES]
                panel.plot(SIZES, shares, "o-", ms=4, label=f"{draws:,}")
            panel.axhline(80, color="gray", ls=":")
            panel.text(SIZES[-1], 78, "80 %", color="gray", ha="right", va="top")
            panel.set(xscale="log", ylim=(0, 105))
            panel.set_xticks(SIZES, [f"{size:,}" for size in SIZES], rotation=45)
            panel.minorticks_off()
        panels[0].set_ylabel(f"{title}\n% of windows told right")
    for top, bottom, (name, times) in zip(*rows, RANGES.items(), strict=True):
        top.set_title(f"bias {name}: ±{times:g} b is allowed" if times else f"bias {name}: 0 is allowed")
        bottom.set_xlabel("rows of a window")
    rows[0, 2].legend(title="bootstrap iterations", loc="lower right", bbox_to_anchor=(1, 0.0), fontsize="small")
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})
