"""`eval` as a user runs it, on a tiny model with random weights."""

import json
import subprocess
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.command import pixelprune
from tests.conftest import blocks
from tests.models.tiny_checkpoint import Tiny, write_checkpoint

VARIANTS = ["full", "pred_2d τ=0", "random", "conncomp", "raster", "scaled down"]
QUICK = ("--device", "cpu", "--max-new-tokens", "5")


def evaluate(*args: str | Path, code: int = 0) -> subprocess.CompletedProcess:
    done = pixelprune("eval", *args)
    assert done.returncode == code, done.stderr.decode()
    return done


def lines(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


def without_times(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows]


@pytest.fixture
def data(tmp_path: Path, model: Path) -> Path:
    """Questions about two pictures, to some of which the answer is what the model says."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (1, 2):
        Image.fromarray(blocks(320, 256, levels=2, seed=number)).save(folder / f"{number}.png")
    asked = [(1, "Total?"), (2, "Total?"), (1, "Which?"), (2, "Who?")]
    requests = [{"image": f"{n}.png", "prompt": words} for n, words in asked]
    (folder / "r.jsonl").write_text("\n".join(map(json.dumps, requests)))
    done = pixelprune("infer", "--requests", folder / "r.jsonl", "--model", model, *QUICK)
    said = [row["answer"] for row in lines(done.stdout)]
    assert len(set(said)) > 1
    questions = [
        {
            "image": f"{n}.png",
            "question": words,
            "answers": ["no", answer] if place != 1 else ["something else"],
            "kind": "total" if words == "Total?" else "other",
        }
        for place, ((n, words), answer) in enumerate(zip(asked, said, strict=True))
    ]
    path = folder / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, questions)))
    return path


def test_scores(data: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    done = evaluate("--data", data, "--model", model, *QUICK, "-o", out)
    rows = duckdb.sql(f"SELECT * FROM '{out}'").df()
    assert list(rows.variant) == VARIANTS * 4
    assert list(rows.custom_id) == [f"line-{n}" for n in (1, 2, 3, 4) for _ in VARIANTS]
    pruned = rows[rows.variant == "pred_2d τ=0"]
    assert list(pruned.exact) == [1.0, 0.0, 1.0, 1.0]  # infer gave these answers
    assert list(rows[rows.variant == "random"].kept) == list(pruned.kept)
    assert (rows[rows.variant == "full"].kept == rows[rows.variant == "full"].tokens).all()
    assert (pruned.kept < pruned.tokens).all()
    text = done.stderr.decode()
    assert "75.0" in text
    for words in (*VARIANTS, "exact, by kind", "other", "total"):
        assert words in text


def test_without_controls_there_are_every_token_and_pruned(
    data: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.jsonl"
    done = evaluate("--data", data, "--model", model, "--no-controls", "-o", out)
    rows = lines(out.read_bytes())
    assert {row["variant"] for row in rows} == {"full", "pred_2d τ=0"}
    assert b"every token" in done.stderr and b"ANLS" not in done.stderr
    whole = evaluate("--data", data, "--model", model, "-o", "-")
    with_controls = [
        row for row in lines(whole.stdout) if row["variant"] in ("full", "pred_2d τ=0")
    ]
    assert without_times(rows) == without_times(with_controls)
    assert b"every token" in whole.stderr and b"ANLS" in whole.stderr


def test_methods_and_metrics_in_one_run(data: Path, model: Path) -> None:
    settings = ("--methods", "pred_2d,pred_2d_flat,left_or_above", "--metrics", "max,mae")
    command = ("--data", data, "--model", model, *QUICK, "-o", "-", "--limit", "1")
    done = evaluate(*command, *settings, "--thresholds", "0,0.05", "--no-controls")
    names = [
        f"{method}{metric} τ={threshold}"
        for method in ("pred_2d", "pred_2d_flat", "left_or_above")
        for metric in ("", " mae")
        for threshold in ("0", "0.05")
    ]
    rows = {row["variant"]: row for row in lines(done.stdout)}
    assert list(rows) == ["full", *names]
    kept = {name: row["kept"] for name, row in rows.items()}
    assert kept["left_or_above τ=0"] < kept["pred_2d τ=0"] == kept["pred_2d mae τ=0"]
    alone = lines(evaluate(*command, "--no-controls").stdout)
    assert without_times([rows["full"], rows["pred_2d τ=0"]]) == without_times(alone)
    shown = done.stderr.decode()
    assert "exact" in shown and "ANLS" in shown  # intervals, although there are no controls
    assert shown.count("metric mae averages") == 1
    logged = evaluate(*command, *settings, "--no-controls", "--log-format", "json")
    [figures] = [line for line in lines(logged.stderr) if "variants" in line]
    less = figures["variants"]["left_or_above τ=0"]["exact_less_full"]
    assert less["low"] <= less["mean"] <= less["high"]


def test_a_setting_that_comes_twice_is_refused(data: Path, model: Path) -> None:
    settings = ("--methods", "pred_2d,left_or_above,left_or_above")
    done = evaluate("--data", data, "--model", model, *settings, "-o", "-", code=2)
    assert "the variant left_or_above τ=0 comes twice" in done.stderr.decode()


def test_verbose_shows_every_answer(data: Path, model: Path) -> None:
    options = (*QUICK, "--no-controls", "-o", "-", "--limit", "1")
    done = evaluate("--data", data, "--model", model, *options, "-v")
    for row in lines(done.stdout):
        verdict = "right" if row["exact"] else "wrong, expected one of"
        shown = f"{row['variant']}: {row['question']} → {row['answer']} ({verdict}"
        assert shown in done.stderr.decode()
    assert "→" not in evaluate("--data", data, "--model", model, *options).stderr.decode()


def test_the_figures_are_those_of_the_rows(data: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    command = ("--data", data, "--model", model, *QUICK, "-o", out, "--log-format", "json")
    done = evaluate(*command)
    figures = lines(done.stderr)[-2]["variants"]
    table = f"'{out}/scores/*.parquet'"
    found = duckdb.sql(
        f"SELECT variant, avg(exact), avg(anls), avg(relaxed), sum(kept) FROM {table} GROUP BY 1"
    ).fetchall()
    assert len(found) == len(VARIANTS)
    for variant, *means, kept in found:
        mine = figures[variant]
        assert [mine[name]["mean"] for name in ("exact", "anls", "relaxed")] == pytest.approx(means)
        assert all(mine["exact"][side] >= 0 for side in ("low", "high"))
        assert mine["kept"] == kept
    again = evaluate(*command)  # everything is there already
    repeated = lines(again.stderr)[-2]
    assert repeated["variants"] == figures
    assert pixelprune("verify", out).returncode == 0


def test_what_cannot_be_asked_is_an_error_row_of_each_variant(
    data: Path, model: Path, tmp_path: Path
) -> None:
    broken = data.parent / "broken.png"
    broken.write_bytes((data.parent / "1.png").read_bytes()[:90])
    first = data.read_text().splitlines()[0]
    bad = [
        {"image": "broken.png", "question": "?", "answers": ["x"]},
        {"image": "gone.png", "question": "?", "answers": ["x"]},
        {"image": "1.png", "question": "?"},
        {"image": "1.png", "question": "<|image_pad|>", "answers": ["x"]},
    ]
    data.write_text("\n".join([*map(json.dumps, bad), first]))
    done = evaluate("--data", data, "--model", model, *QUICK, "-o", "-", code=3)
    rows = lines(done.stdout)
    codes = [row["error_code"] for row in rows[:: len(VARIANTS)]]
    assert codes == ["truncated", "not_found", "bad_request", "bad_request", None]
    assert len(rows) == 5 * len(VARIANTS)
    assert [row["exact"] for row in rows[: 4 * len(VARIANTS)]] == [None] * 24
    assert done.stderr.decode().count("truncated: line-1: ") == 1  # and not for each variant


def test_whole_images_that_are_too_long_for_the_model(data: Path, tmp_path: Path) -> None:
    """The others are scored all the same, and compared where both are."""
    tiny = Tiny(layers=2, depth=2, deepstack=(0,), max_positions=90)
    write_checkpoint(tmp_path / "checkpoint", tiny)
    pixelprune("export", tmp_path / "checkpoint", tmp_path / "model")
    command = ("--data", data, "--model", tmp_path / "model", *QUICK, "-o", tmp_path / "out")
    done = evaluate(*command, "--log-format", "json", code=3)
    figures = lines(done.stderr)[-2]
    asked = {name: one["questions"] for name, one in figures["variants"].items()}
    assert asked == dict.fromkeys(VARIANTS[1:], 4) | {"conncomp": 2}  # which keeps a few more
    assert figures["failures"] == {"context_too_long": 4}  # questions, of 6 rows
    shown = evaluate(*command, code=3).stderr.decode()
    assert "pred_2d" in shown


def test_failures_are_counted_by_question(data: Path, model: Path, tmp_path: Path) -> None:
    first, second = data.read_text().splitlines()[:2]
    gone = [json.dumps({"image": f"{n}.gone", "question": "?", "answers": ["x"]}) for n in "ab"]
    data.write_text("\n".join([first, *gone, second]))
    command = ("--data", data, "--model", model, *QUICK, "-o", tmp_path / "out")
    done = evaluate(*command, "--log-format", "json", code=3)
    assert lines(done.stderr)[-2]["failures"] == {"not_found": 2}
    shown = evaluate(*command, code=3).stderr.decode()
    assert "failed: not_found: 2 questions" in shown
    assert "2 failures from an earlier run; --retry-failed processes them again" in shown
    stopped = pixelprune("eval", *command[:-1], tmp_path / "other", "--max-failures", "2")
    assert "stopped after 2 failures" in stopped.stderr.decode()
    rows = duckdb.sql(f"SELECT * FROM '{tmp_path}/other/scores/*.parquet'").df()
    assert len(rows) == 3 * len(VARIANTS)  # both failures were met, not one of them twice


@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_quiet_gives_the_scores_and_nothing_else(
    data: Path, model: Path, tmp_path: Path, quiet: str
) -> None:
    gone = json.dumps({"image": "gone.png", "question": "?", "answers": ["x"]})
    data.write_text(f"{gone}\n{data.read_text()}")
    command = ("--data", data, "--model", model, *QUICK, "-o", tmp_path / "out", quiet)
    shown = evaluate(*command, code=3).stderr.decode()
    assert "75.0" in shown
    assert all(name in shown for name in VARIANTS)
    for words in ("failed", "gone.png", "written to", "retry"):
        assert words not in shown
    [figures] = lines(evaluate(*command, "--log-format", "json", code=3).stderr)
    assert figures["variants"]["full"]["questions"] == 4
    assert figures["level"] == "info"


def test_questions_whose_images_lie_in_the_file_are_resumed(
    data: Path, model: Path, tmp_path: Path
) -> None:
    asked = lines(data.read_bytes())
    pictures = {one["image"]: (data.parent / one["image"]).read_bytes() for one in asked}

    def write(path: Path, picture: dict[str, bytes]) -> Path:
        bare = [one | {"image": picture[one["image"]]} for one in asked[:2]]
        named = [
            one | {"image": {"path": "x.png", "bytes": picture[one["image"]]}} for one in asked[2:]
        ]
        images = [{"path": None, "bytes": one["image"]} for one in bare] + [
            one["image"] for one in named
        ]
        rows = [one | {"image": image} for one, image in zip(asked, images, strict=True)]
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    file, out = write(tmp_path / "q.parquet", pictures), tmp_path / "out"
    options = ("--model", model, *QUICK, "-o", out, "--log-format", "json")
    first = lines(evaluate("--data", file, *options).stderr)[-2]
    (tmp_path / "moved").mkdir()
    again = file.rename(tmp_path / "moved" / "r.parquet")
    second = lines(evaluate("--data", again, *options).stderr)[-2]
    assert second["variants"] == first["variants"]
    other = pictures | {"2.png": pictures["1.png"]}
    changed = evaluate("--data", write(tmp_path / "o.parquet", other), *options, code=5)
    assert "was made from other inputs" in lines(changed.stderr)[-1]["message"]


def test_scores_of_other_images_are_not_kept(data: Path, model: Path, tmp_path: Path) -> None:
    command = ("--data", data, "--model", model, *QUICK, "-o", tmp_path / "out")
    evaluate(*command)
    Image.fromarray(blocks(320, 320, seed=9)).save(data.parent / "1.png")
    assert "a file was modified" in evaluate(*command, code=5).stderr.decode()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--data", "nothing.jsonl", "--model", "MODEL"), "no such file of questions"),
        (
            ("--data", "DATA", "--model", "MODEL", "--thresholds", "0.1,0.10001"),
            "equal in three digits",
        ),
        (("--data", "DATA", "--model", "MODEL", "--thresholds", "0,x"), "x"),
        (
            ("--data", "DATA", "--model", "MODEL", "--format", "openai"),
            "'openai' is not one of 'jsonl'",
        ),
        ((), "--data"),
    ],
)
def test_usage(data: Path, model: Path, args: tuple[str, ...], said: str) -> None:
    names = {"DATA": str(data), "MODEL": str(model)}
    done = evaluate(*(names.get(one, one) for one in args), code=2)
    assert said in done.stderr.decode()
