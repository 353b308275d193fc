"""Options that choose the inputs of a command. Imports little, since `--help` needs them."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, BinaryIO, ClassVar

from ppcli.errors import UsageError
from ppcli.options import Option, Options

if TYPE_CHECKING:
    from ppcli.inputs.listing import Listing
    from ppcli.inputs.requests import RequestFile

Limit = Annotated[int | None, Option("Stop after N inputs.", metavar="N", min=1)]
Root = Annotated[
    str | None,
    Option(
        "Folder that must contain the images of requests and questions, after links are followed; "
        "or the URL of a folder in an object store.",
        metavar="DIR",
    ),
]


ImageColumnName = Annotated[
    str | None,
    Option(
        "Column of Parquet files that has the images; by default it is found.", metavar="COLUMN"
    ),
]


@dataclass(frozen=True, slots=True)
class InputOptions(Options):
    """Which images a command reads.

    Attributes:
        inputs: files, folders, glob patterns, or `-` for standard input.
        files0_from: file of NUL-separated paths; `-` for standard input.
        include: patterns; other files in folders are skipped. Empty for all files.
        exclude: patterns; files and subfolders in folders that match one are skipped.
        image_column: the column of Parquet files that has the images; None to find it.
        limit: maximum number of inputs.
    """

    panel: ClassVar = "Inputs"

    inputs: Annotated[
        tuple[str, ...],
        Option(
            "Files, folders, glob patterns, URLs such as s3://BUCKET/FOLDER, or - for standard "
            "input (an image, or one path per line).",
            metavar="INPUTS",
            is_argument=True,
        ),
    ] = ()
    files0_from: Annotated[
        str | None, Option("File of NUL-separated paths (-: standard input).", metavar="FILE")
    ] = None
    include: Annotated[
        tuple[str, ...],
        Option("In folders, read only files that match; repeatable.", metavar="PATTERN"),
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        Option("In folders, skip files and subfolders that match; repeatable.", metavar="PATTERN"),
    ] = ()
    image_column: ImageColumnName = None
    limit: Limit = None

    def listing(self, output: str | None = None, keep_columns: tuple[str, ...] = ()) -> "Listing":
        """Return the inputs.

        Args:
            output: the output of the run, which is not searched for images.
            keep_columns: columns of data sets that are read with the images.
        """
        from ppcli.inputs.listing import Listing

        return Listing(
            self.inputs,
            self.files0_from,
            self.include,
            self.exclude,
            self.limit,
            stdin=standard_input(),
            avoid=output,
            image_column=self.image_column,
            keep_columns=keep_columns,
        )


@dataclass(frozen=True, slots=True)
class ColumnOptions(Options):
    """Columns of Parquet files and tar archives that travel into the rows about their images.

    Attributes:
        keep_columns: names of columns, also several with commas between; `*` for all.
    """

    panel: ClassVar = "Inputs"

    keep_columns: Annotated[
        tuple[str, ...],
        Option(
            "Keep these columns of data sets in the rows: names with commas between, or * for all; "
            "repeatable.",
            metavar="COLUMNS",
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class RequestOptions(Options):
    """A file of requests, instead of one prompt for all inputs.

    Attributes:
        requests: the file; `-` for standard input.
        root: a folder that must contain all images; None for no limit.
        allow_http: fetch images at http:// and https:// URLs.

    Raises:
        UsageError: `root` and `allow_http` are both set.
    """

    panel: ClassVar = "Inputs"

    requests: Annotated[
        str | None,
        Option(
            "File of requests, one JSON object per line: image or images, prompt, custom_id; or "
            "lines of an OpenAI batch (-: standard input).",
            metavar="FILE",
        ),
    ] = None
    root: Root = None
    allow_http: Annotated[
        bool,
        Option(
            "Fetch the images that requests name by http:// or https:// URLs, from any server that "
            "this machine reaches."
        ),
    ] = False

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.allow_http and self.root is not None:
            raise UsageError("--root allows images of one folder only; leave --allow-http out")

    def request_file(self, limit: int | None, for_server: bool = False) -> "RequestFile":
        """Return the requests, at most `limit`; `for_server` if a server answers them."""
        from ppcli.inputs.requests import RequestFile

        assert self.requests is not None
        return RequestFile(
            self.requests, limit, standard_input(), self.root, for_server, self.allow_http
        )


@dataclass(frozen=True, slots=True)
class QuestionOptions(Options):
    """A file of questions.

    Attributes:
        data: JSON lines or Parquet.
        root: a folder that must contain all images; None for no limit.
        image_column: the field or column with the images; None for `image`.
        limit: maximum number of questions.
    """

    panel: ClassVar = "Inputs"

    data: Annotated[
        str,
        Option(
            "Questions: JSON lines or Parquet with image, question and answers.", metavar="FILE"
        ),
    ]
    root: Root = None
    image_column: Annotated[
        str | None,
        Option("Field or column that has the images (default: image).", metavar="COLUMN"),
    ] = None
    limit: Limit = None


def standard_input() -> BinaryIO | None:
    """Return standard input unbuffered, or None if it is closed.

    A thread that waits in a read would keep the lock of a buffer.
    """
    buffer = getattr(sys.stdin, "buffer", None)
    return getattr(buffer, "raw", buffer)
