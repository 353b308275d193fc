# /// script
# requires-python = ">=3.11"
# dependencies = ["pixelprune", "huggingface-hub>=1.0"]
# ///
r"""Asks a model about each image of a data set, and publishes the data set with the answers.

    uv run caption_dataset.py hf://datasets/ME/pages hf://datasets/ME/pages-markdown \
        --prompt "Convert this page to Markdown." --answer-column markdown

The new data set has all columns of the old one, the images included, and the answers as one more.
Run the same command again to continue after a stop: finished shards are neither computed nor
uploaded twice. What comes after `--` goes to `pixelprune infer`, such as `--server URL` or
`--model DIR`. Source and target may also be paths on this machine.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

HUB = "hf://datasets/"
INPUTS_FAILED = 3  # exit code of pixelprune: some answers are error rows


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and those for `pixelprune infer`."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="hf://datasets/OWNER/NAME, or Parquet files here")
    parser.add_argument("target", help="hf://datasets/OWNER/NAME, or a folder here")
    parser.add_argument("--prompt", required=True)
    parser.add_argument(
        "--answer-column", default="answer", help="name of the column with the answers"
    )
    parser.add_argument("--work", default="caption-work", help="folder for unfinished answers")
    parser.add_argument("--private", action="store_true", help="make the new data set private")
    return parser.parse_args(given[:end]), given[end + 1 :]


def answer(chosen: argparse.Namespace, further: list[str]) -> Path:
    """Run `pixelprune infer`, and return the folder with the Parquet files of the answers."""
    command = [sys.executable, "-m", "ppcli", "infer", chosen.source, "--prompt", chosen.prompt]
    command += ["--keep-columns", "*", "--answer-column", chosen.answer_column, "-o", chosen.work]
    code = subprocess.run([*command, *further], check=False).returncode
    if code not in (0, INPUTS_FAILED):
        sys.exit(code)
    return Path(chosen.work, "answers")


def publish(files: Path, target: str, private: bool) -> None:
    """Put the Parquet files where `datasets` finds them: in the folder `data` of the target."""
    if not target.startswith(HUB):
        shutil.copytree(files, Path(target, "data"), dirs_exist_ok=True)
        return
    from huggingface_hub import HfApi

    api, name = HfApi(), target.removeprefix(HUB)
    api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
    api.upload_folder(
        repo_id=name,
        repo_type="dataset",
        folder_path=files,
        path_in_repo="data",
        allow_patterns="*.parquet",
        delete_patterns="*.parquet",  # those of an earlier version that had more of them
        commit_message="Answers by pixelprune",
    )


def main() -> None:
    """Ask, then publish."""
    chosen, further = arguments()
    publish(answer(chosen, further), chosen.target, chosen.private)


if __name__ == "__main__":
    main()
