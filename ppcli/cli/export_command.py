"""`pixelprune export`."""

from typing import Annotated

import typer

from ppcli.cli.options import LogFormat, LogFormatOption, Quiet, Verbose, logger
from ppcli.errors import ExitCode
from ppcli.models.model_choices import Dtype, Head, Weights


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A checkpoint folder, or a name on the Hugging Face hub."
        ),
    ],
    out_dir: Annotated[
        str, typer.Argument(metavar="OUT_DIR", help="The model directory to write.")
    ],
    dtype: Annotated[
        Dtype, typer.Option(help="float32 for the CPU, the others for CUDA.")
    ] = Dtype.FLOAT32,
    weights: Annotated[
        Weights,
        typer.Option(help="Of the language model: as they are, or rounded to 8 or 4 bits."),
    ] = Weights.FLOAT,
    head: Annotated[
        Head | None,
        typer.Option(
            help="Which matrix gives the logits, if the checkpoint says tied and holds another."
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Branch, tag or commit of a name on the hub."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier model directory.")
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Make ONNX graphs of a Qwen3-VL checkpoint that take only the kept patches."""
    from ppcli.cli.progress import steps
    from ppcli.cli.terminal import Terminal
    from ppcli.models.checkpoints.hub import checkpoint_folder
    from ppcli.models.onnx.export import Export
    from ppcli.store.output_paths import check_path

    check_path(out_dir, "OUT_DIR")
    terminal = Terminal(quiet, verbose, log_format)
    folder, source = checkpoint_folder(model, revision, terminal.draws)
    with steps(terminal, "tensors") as on_tensor:
        made = Export(folder, dtype.value, source, weights, on_tensor, head=head)
        for warning in made.warnings:
            logger.warning("%s: %s", source, warning)
        made.write(out_dir, overwrite)
    terminal.say(f"written to {out_dir}")
    return ExitCode.OK
