"""Tables of `benchmarks/distillation.py`: a loss a row, what it is compared with last."""

from typing import Any

import numpy as np
import torch
from results import markdown_table

from distilling.figures import mean_diversity

Rows = list[dict[str, Any]]


def mean(rows: Rows, key: str) -> float:
    """Of the rows where the figure is a number."""
    return float(np.nanmean([row[key] for row in rows]))


def cell(value: float) -> str:
    """A figure; a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def cells(rows: Rows, figures: tuple[str, ...]) -> list[str]:
    """The means of figures."""
    return [cell(mean(rows, key)) for key in figures]


def start_of(loss: str, rows: Rows) -> list[str]:
    """What a row of a table begins with: the loss, its steps, its processor seconds."""
    return [loss, str(rows[0]["steps"]), f"{mean(rows, 'seconds'):.1f}"]


def of_loss(rows: Rows, loss: str) -> Rows:
    """The rows of one loss."""
    return [row for row in rows if row["loss"] == loss]


def text_table(rows: Rows, losses: list[str], exact: Rows, looks: list[list[torch.Tensor]]) -> str:
    """Fields from prompts; `exact` has the figures of exact objects, `looks` their embeddings, by prompt."""
    table, figures = [], ("found", "colour", "saturation", "fronts")
    for loss in losses:
        own = of_loss(rows, loss)
        prompts = dict.fromkeys(row["prompt"] for row in own)
        made = [[torch.tensor(row["looks"]) for row in own if row["prompt"] == prompt] for prompt in prompts]
        table.append([*start_of(loss, own), *cells(own, figures), cell(mean_diversity(made))])
    table.append(["exact", "", "", *cells(exact, figures), cell(mean_diversity(looks))])
    header = ["loss", "steps", "s", "R-Precision", "colour error", "saturation", "second fronts", "diversity"]
    return markdown_table(header, table)


def mesh_table(rows: Rows, losses: list[str], exact: Rows) -> str:
    """Textured meshes from prompts."""
    figures = ("found", "colour", "saturation", "fronts")
    table = [[*start_of(loss, of_loss(rows, loss))[:2], *cells(of_loss(rows, loss), figures)] for loss in losses]
    table.append(["exact", "", *cells(exact, figures)])
    return markdown_table(["loss", "steps", "R-Precision", "colour error", "saturation", "second fronts"], table)


def paint_table(rows: Rows, losses: list[str]) -> str:
    """Painted meshes; a grey object last."""
    figures = ("latents", "colour", "saturation")
    table = [[*start_of(loss, of_loss(rows, loss)), *cells(of_loss(rows, loss), figures)] for loss in losses]
    grey = cell(mean(rows, "grey"))
    header = ["loss", "steps", "s", "colour error of the latents", "of the finished texture", "saturation"]
    return markdown_table(header, [*table, ["grey", "", "", grey, grey, "0.000"]])


def image_table(rows: Rows, losses: list[str]) -> str:
    """Fields from one image; a field without a prior last, which is a loss of that name."""
    figures = ("psnr", "ssim", "colour", "own")
    table = [[*start_of(loss, of_loss(rows, loss)), *cells(of_loss(rows, loss), figures)] for loss in losses]
    return markdown_table(["loss", "steps", "s", "PSNR, dB", "SSIM", "colour error", "own view, dB"], table)
