"""Converts a checkpoint folder between fp32, bf16 and INT4 in the official layout; run again to go on after a stop."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from manyeyes.model import convert as conversion
from manyeyes.model.tensor_names import Quantization

FORMS: dict[str, tuple[Quantization, torch.dtype]] = {
    "int4": ("int4", torch.bfloat16),
    "bf16": ("none", torch.bfloat16),
    "fp32": ("none", torch.float32),
}


@dataclass(frozen=True)
class Options:
    """What to convert, and into what."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """A checkpoint folder: K2.5, or text-only (K2, Moonlight)."""
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """The folder to write; it must not exist yet, or be empty."""
    to: Literal["int4", "bf16", "fp32"] = "bf16"
    """Stored form: int4 packs the routed experts (the released form) and keeps the rest in bf16."""
    shard_gb: float = 5.0
    """Cut files at this many gigabytes."""


def main(options: Options) -> int:
    """Convert with a progress bar; returns the exit status."""
    quantization, dtype = FORMS[options.to]
    console, started = Console(), time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("converting", total=None)

        def show(progress: conversion.Progress) -> None:
            text = f"file {progress.shard}/{progress.shards}" + (" (was there)" if progress.reused else "")
            bar.update(task, description=text, total=progress.total_bytes, completed=progress.done_bytes)

        conversion.convert(
            options.source,
            options.target,
            quantization=quantization,
            dtype=dtype,
            max_shard_bytes=int(options.shard_gb * 1e9),
            on_progress=show,
        )
    console.print(f"{options.target}: written in {options.to} ({time.monotonic() - started:.1f} s)", highlight=False)
    return 0
