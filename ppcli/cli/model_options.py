"""Options of commands that ask a model. Imports little: it is there before `--help` is."""

from typing import Annotated

import typer

from ppcli.cli.options import INPUTS, MODEL
from ppcli.models.model_choices import Think

RequestsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Requests, a JSON object a line: image or images, prompt, custom_id; or lines of "
        "an OpenAI batch (-: stdin).",
        rich_help_panel=INPUTS,
    ),
]
PromptOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What is asked.", rich_help_panel=MODEL)
]
PromptFileOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="What is asked, from a text file; one newline at its end is left out.",
        rich_help_panel=MODEL,
    ),
]
SystemOption = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="A system text before it.", rich_help_panel=MODEL),
]
MaxNewTokensOption = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="The most that an answer has.", rich_help_panel=MODEL),
]
BatchSizeOption = Annotated[
    str, typer.Option(metavar="N", help="Requests at once, or auto.", rich_help_panel=MODEL)
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(metavar="T", help="0: greedy, as without it.", rich_help_panel=MODEL),
]
TopPOption = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Sample from the likeliest tokens.", rich_help_panel=MODEL),
]
TopKOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Sample from so many of the likeliest tokens.", rich_help_panel=MODEL
    ),
]
MinPOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Sample from tokens with this share of the likeliest one's chance.",
        rich_help_panel=MODEL,
    ),
]
RepetitionPenaltyOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Above 1: rather no token of prompt or answer again. Default: the model's own.",
        rich_help_panel=MODEL,
    ),
]
PresencePenaltyOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Above 0: rather no token of the answer again; -2 to 2.",
        rich_help_panel=MODEL,
    ),
]
StopOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="The answer ends before this text; may be repeated.",
        rich_help_panel=MODEL,
    ),
]
KeepSpecialTokensOption = Annotated[
    bool,
    typer.Option(
        "--keep-special-tokens",
        help="Show them in answers: some models mark fields so.",
        rich_help_panel=MODEL,
    ),
]
ThinkOption = Annotated[
    Think,
    typer.Option(
        help="Thinking stays in the answer, has a column of its own, or is left out.",
        rich_help_panel=MODEL,
    ),
]
