"""What a batch leaves for people: results.csv, results.md, and a sheet of held-out pictures."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from nerfstudio_hands.fleet import addresses
from nerfstudio_hands.fleet.contact_sheet import make_sheet
from nerfstudio_hands.fleet.ledger import Ledger

SHEET = "held_out.jpg"
HEADLINES = (
    "hand_psnr_registered", "hand_lpips_registered", "hand_psnr_calibrated", "hand_psnr", "hand_ssim", "hand_lpips",
    "mask_iou", "psnr", "ssim", "lpips",
)  # fmt: skip
"""Figures that the page shows; the CSV file has all."""
PROTOCOLS = ("", "view/", "pose/", "both/")
MOST_ROWS = 1000
"""Rows of captures on the page; a viewer of Markdown takes no more. The CSV file has all."""


@dataclass
class Avatar:
    """One capture by one method.

    Attributes:
        capture, method: Their names.
        states: State of each step, the fit's among them.
        seconds: What each took.
        sentence: Why it went no further.
        figures: Of the evaluation.
        log: Log of the step that failed.
    """

    capture: str
    method: str
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sentence: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    log: str = ""

    @property
    def state(self) -> str:
        """Of the whole."""
        states = set(self.states.values())
        return "failed" if "failed" in states else "done" if states == {"done"} else "not finished"


def avatars(ledger: Ledger) -> list[Avatar]:
    """Every capture by every method; of a plan that only fits, every capture."""
    found: dict[tuple[str, str], Avatar] = {}
    fits, rows = {}, ledger.rows()
    has_methods = any(row["method"] for row in rows)
    for row in rows:
        if row["step"] == "fit" and has_methods:
            fits[row["capture"]] = row
            continue
        avatar = found.setdefault((row["capture"], row["method"]), Avatar(row["capture"], row["method"]))
        _take_in(avatar, row)
    for avatar in found.values():
        if avatar.capture in fits:
            _take_in(avatar, fits[avatar.capture])
    return list(found.values())


def _take_in(avatar: Avatar, row) -> None:
    avatar.states[row["step"]] = row["state"]
    if row["state"] == "done":
        avatar.seconds[row["step"]] = row["ended"] - row["started"]
    if row["state"] == "failed":
        avatar.sentence, avatar.log = row["sentence"], row["log"] or ""
    if row["figures"]:
        avatar.figures |= json.loads(row["figures"])


def write_report(ledger: Ledger, results: str) -> list[str]:
    """Writes all three beside the results; the addresses of what was written."""
    found = avatars(ledger)
    files = {"results.csv": as_csv(found).encode()}
    shown = [avatar for avatar in found if avatar.states.get("eval") == "done"]
    folders = [f"{avatar.capture}/{avatar.method}" for avatar in shown]
    sheet = make_sheet([(folder, f"{folder}/eval/pictures") for folder in folders], results)
    if sheet is not None:
        files[SHEET] = sheet
    files["results.md"] = as_markdown(found, has_sheet=sheet is not None).encode()
    for name, content in files.items():
        addresses.write_file(addresses.join(results, name), content)
    return [addresses.join(results, name) for name in files]


def as_csv(found: list[Avatar]) -> str:
    """A row for each capture and method, with every figure."""
    steps = sorted({step for avatar in found for step in avatar.states})
    names = sorted({name for avatar in found for name in avatar.figures})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["capture", "method", "state", *(f"{step}_seconds" for step in steps), *names, "sentence", "log"])
    for avatar in found:
        seconds = [f"{avatar.seconds[step]:.2f}" if step in avatar.seconds else "" for step in steps]
        figures = [repr(avatar.figures[name]) if name in avatar.figures else "" for name in names]
        head = [_no_formula(avatar.capture), _no_formula(avatar.method), avatar.state]
        writer.writerow([*head, *seconds, *figures, _no_formula(avatar.sentence), avatar.log])
    return text.getvalue()


def _no_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def as_markdown(found: list[Avatar], *, has_sheet: bool) -> str:
    """The page: means and spreads of each method, the sheet, and a row for each capture."""
    done = sum(avatar.state == "done" for avatar in found)
    failed = sum(avatar.state == "failed" for avatar in found)
    counts = f"{len(found)} avatars: {done} done, {failed} failed, {len(found) - done - failed} not finished."
    lines = ["# Results", "", counts, ""]
    lines += _means(found)
    if has_sheet:
        caption = "Held-out pictures, each beside its avatar with calibrated color:"
        lines += [caption, "", f"![held-out pictures]({SHEET})", ""]
    return "\n".join([*lines, *_captures(found), ""])


def headlines(found: list[Avatar]) -> list[str]:
    """Figures that the page shows, of each protocol that there is."""
    known = {name for avatar in found for name in avatar.figures}
    return [protocol + name for protocol in PROTOCOLS for name in HEADLINES if protocol + name in known]


def _means(found: list[Avatar]) -> Iterator[str]:
    by_method: dict[str, list[Avatar]] = defaultdict(list)
    for avatar in found:
        if avatar.figures:
            by_method[avatar.method].append(avatar)
    if not by_method:
        return
    names = headlines(found)
    yield "Mean over captures ± standard deviation between them; a capture counts once, however many pictures it has."
    yield ""
    yield _row("method", "captures", *names)
    yield _row(*["---"] * (len(names) + 2))
    for method, group in by_method.items():
        spreads = (mean_and_spread([one.figures.get(name) for one in group]) for name in names)
        yield _row(method, str(len(group)), *spreads)
    yield ""


def mean_and_spread(values: list[float | None]) -> str:
    """Mean and sample standard deviation of the finite ones; the former alone where there is one value."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "-"
    mean = f"{statistics.fmean(known):.4g}"
    return mean if len(known) == 1 else f"{mean} ± {statistics.stdev(known):.2g}"


def _captures(found: list[Avatar]) -> Iterator[str]:
    names = headlines(found)[:1]
    yield _row("capture", "method", "state", *names, "", "")
    yield _row(*["---"] * (len(names) + 5))
    for avatar in found[:MOST_ROWS]:
        figures = [f"{avatar.figures[name]:.4g}" if name in avatar.figures else "" for name in names]
        yield _row(avatar.capture, avatar.method, avatar.state, *figures, _links(avatar), avatar.sentence)
    if len(found) > MOST_ROWS:
        yield f"\n{len(found) - MOST_ROWS} more in results.csv."


def _links(avatar: Avatar) -> str:
    folder = f"{avatar.capture}/{avatar.method}" if avatar.method else avatar.capture
    places = [("run", "train"), ("pictures", "eval"), ("export", "export")]
    links = [f"[{name}]({quote(f'{folder}/{step}')}/)" for name, step in places if avatar.states.get(step) == "done"]
    if avatar.log:
        links.append(f"[log]({quote(avatar.log)})")
    return " ".join(links)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
