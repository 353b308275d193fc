"""Options of models and of their answers. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from ppcli.errors import UsageError
from ppcli.models.model_choices import DEFAULT_MAX_NEW_TOKENS, Device, Think
from ppcli.options import Option, Options


def parse_batch_size(text: str) -> int | None:
    """Parse a batch size; None for `auto`.

    Raises:
        UsageError: the text is neither `auto` nor a positive number.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch-size is {text!r}; it must be auto or a whole number from 1")
    return int(text)


BatchSize = Annotated[
    int | None,
    Option(
        "Requests to process at once, or auto.",
        metavar="N",
        min=1,
        parse=parse_batch_size,
        default_text="auto",
    ),
]
MaxNewTokens = Annotated[int, Option("Maximum tokens to generate.", metavar="N", min=1)]


@dataclass(frozen=True, slots=True)
class ModelOptions(Options):
    """A model directory, and the device that runs it.

    Attributes:
        model: folder that `export` wrote, or a URL of one; None for the small model in the package.
        device: where the model runs.
        device_id: number of the GPU.
        threads: CPU threads; 0 for all cores.
    """

    panel: ClassVar = "Model"

    model: Annotated[
        str | None,
        Option(
            "Folder that pixelprune export wrote, or its URL. Default: the small model in the "
            "package.",
            metavar="DIR",
        ),
    ] = None
    device: Annotated[Device, Option("Device that runs the model.")] = Device.AUTO
    device_id: Annotated[int, Option("Number of the GPU.", metavar="N", min=0)] = 0
    threads: Annotated[int, Option("CPU threads (0: all cores).", metavar="N", min=0)] = 0


@dataclass(frozen=True, slots=True)
class GenerationOptions(Options):
    """What a model is asked, and how it generates its answers.

    Attributes:
        prompt: the question or instruction.
        prompt_file: text file with the prompt; one line break at its end is removed.
        system: system message; None for none.
        max_new_tokens: maximum tokens to generate.
        batch_size: requests to process at once; None chooses.
        temperature, top_p, top_k, min_p: sampling; None for the most likely token.
        repetition_penalty, presence_penalty: None for those of the model, or none.
        stop: texts that end an answer.
        keep_special_tokens: whether answers contain special tokens.
        think: what happens to the thinking of the model.
        prune: whether pruned patches are left out.
    """

    panel: ClassVar = "Generation"

    prompt: Annotated[
        str | None, Option("Question or instruction, the same for all inputs.", metavar="TEXT")
    ] = None
    prompt_file: Annotated[
        str | None,
        Option("Text file with the prompt; one line break at its end is removed.", metavar="FILE"),
    ] = None
    system: Annotated[str | None, Option("System message.", metavar="TEXT")] = None
    max_new_tokens: MaxNewTokens = DEFAULT_MAX_NEW_TOKENS
    batch_size: BatchSize = None
    temperature: Annotated[
        float | None,
        Option("Sampling temperature. Default: 0, which takes the most likely token.", metavar="T"),
    ] = None
    top_p: Annotated[
        float | None,
        Option(
            "Sample from the smallest set of tokens with this total probability.",
            metavar="SHARE",
        ),
    ] = None
    top_k: Annotated[int | None, Option("Sample from the N most likely tokens.", metavar="N")] = (
        None
    )
    min_p: Annotated[
        float | None,
        Option(
            "Sample from tokens with at least this share of the highest probability.",
            metavar="SHARE",
        ),
    ] = None
    repetition_penalty: Annotated[
        float | None,
        Option(
            "Above 1: make tokens of prompt and answer less likely. Default: that of the model.",
            metavar="X",
        ),
    ] = None
    presence_penalty: Annotated[
        float | None,
        Option("From -2 to 2. Above 0: make tokens of the answer less likely.", metavar="X"),
    ] = None
    stop: Annotated[
        tuple[str, ...], Option("End the answer before this text; repeatable.", metavar="TEXT")
    ] = ()
    keep_special_tokens: Annotated[
        bool, Option("Keep special tokens in answers; some models mark fields with them.")
    ] = False
    think: Annotated[
        Think,
        Option("Keep the thinking in the answer, move it to its own column, or drop it."),
    ] = Think.KEEP
    prune: Annotated[bool, Option("Feed every patch to the model.", off_flag="--no-prune")] = True

    @property
    def settings(self) -> dict[str, Any]:
        """The sampling settings and penalties that were chosen."""
        names = ("temperature", "top_p", "top_k", "min_p")
        penalties = ("repetition_penalty", "presence_penalty")
        chosen = {name: getattr(self, name) for name in (*names, *penalties)}
        return {name: value for name, value in chosen.items() if value is not None}

    def prompt_text(self) -> str:
        """Return the prompt, from its file if there is one.

        Raises:
            UsageError: both or neither of prompt and file are given, or the file is unreadable.
        """
        if (self.prompt is None) == (self.prompt_file is None):
            raise UsageError("give one of --prompt TEXT, --prompt-file FILE and --requests FILE")
        if self.prompt_file is None:
            return self.prompt or ""
        try:
            with open(self.prompt_file, encoding="utf-8-sig", newline="") as file:
                return file.read().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.prompt_file} cannot be read: {error}") from error
