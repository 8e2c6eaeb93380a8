"""Fixtures that several tests share. What takes long to import is imported by what needs it: the process that hands
tests to workers reads this file, too, and begins before them."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from nerfstudio_hands.fitting import HandFit

REPOSITORY = Path(__file__).resolve().parents[1]

LONGEST = (
    "test_moving_hands.py", "test_held_out.py", "test_in_browser.py", "test_fit_demo.py", "test_cuda_rehearsal.py",
    "test_golden.py", "test_registration.py", "test_fit.py", "test_scene_pipeline.py", "test_wheel.py",
    "test_image_pipeline.py", "test_forecaster.py", "test_run_config.py",
)  # fmt: skip
"""Files that begin first, so that none of them is left to run alone when all others are done."""

FORKING = ("test_two_processes.py", "test_s3.py", "test_commands.py", "test_interhand.py")
"""Files that begin before those, in one worker: their processes are forked off one that has imported everything."""

# A shell that runs tests in the background has them ignore Ctrl-C, which some of them send to themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The commands of this environment, whether or not somebody has activated it.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """A worker runs whole files, all that fork their processes in one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "forking" if file.endswith(FORKING) else file

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: nobody need look for garbage in it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import torch

    first = [*FORKING, *LONGEST]
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no GPU that torch can use"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def fmhr_demo() -> Path:
    """The real 16-camera capture, used in place; tests that need it are skipped where it is absent."""
    scan = REPOSITORY.parent / "shared" / "captures" / "fmhr-demo" / "1"
    if not scan.is_dir():
        pytest.skip(f"the real capture is not at {scan}")
    return scan


@pytest.fixture(scope="session")
def demo_capture(repository: Path) -> Path:
    """The synthetic capture that ships with the project."""
    return repository / "data" / "synthetic-hand" / "1"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of pytest, one for all its worker processes."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def detector_weights() -> Path:
    """Folder with the networks of the hand detector, where `make install` put them."""
    from nerfstudio_hands.estimators.hand_detector.weights import FOLDER_VARIABLE, weights_folder

    folder = weights_folder()
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def fit_cache(shared_folder: Path, detector_weights: Path) -> Path:
    """Fits made by tests are shared among them and kept out of the user's cache."""
    folder = shared_folder / "fits"
    os.environ["NERFSTUDIO_HANDS_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(demo_capture: Path, kept_true_fit: None, shared_folder: Path) -> Path:
    """config.yml of a run of `ns-train hand-uvnerf` that saw thirty small batches."""
    from helpers.in_process import ns_train

    config = shared_folder / "tiny" / "hand-uvnerf" / "run" / "config.yml"
    # The first worker that needs the run trains it, the other one waits.
    with FileLock(shared_folder / "tiny.lock"):
        if not config.exists():
            ns_train(
                "hand-uvnerf", "--data", demo_capture, "--output-dir", shared_folder, "--experiment-name", "tiny",
                "--timestamp", "run", "--max-num-iterations", "30", "--steps-per-save", "15", "--vis", "tensorboard",
                "--pipeline.datamanager.train-num-rays-per-batch", "256", "hands-data", "--resolution-scale", "0.5",
            )  # fmt: skip
    return config


@pytest.fixture(scope="session")
def true_fit(demo_capture: Path) -> HandFit:
    """The pose that the shipped capture was rendered from, as a fit would give it."""
    import numpy as np
    import torch

    from nerfstudio_hands.captures.layouts import read_capture
    from nerfstudio_hands.captures.splits import choose_cameras
    from nerfstudio_hands.fitting import HandFit
    from nerfstudio_hands.hand_model import HandPose

    capture = read_capture(demo_capture, layout="auto")
    cameras, _ = choose_cameras(capture, cameras=None, exclude=(), held_out=None)
    truth = np.load(demo_capture.parent / "truth" / "truth.npz")
    sides = tuple(truth["sides"].tolist())
    pose = [torch.from_numpy(truth[name]) for name in ("global_orient", "local_rotations", "translation")]
    return HandFit(
        sides=sides,
        frames=capture.frames,
        shape=torch.from_numpy(truth["shape"]),
        displacement=torch.zeros(truth["vertices"].shape[1], 3),
        pose=HandPose(*pose, valid=torch.ones(len(capture.frames), len(sides), dtype=torch.bool)),
        camera_rotation={name: np.zeros(3) for name in cameras},
        keypoints_3d=np.full((len(capture.frames), 2, 21, 3), np.nan),
        mask_coverage=dict.fromkeys(capture.masks, 1.0),
    )


@pytest.fixture(scope="session")
def kept_true_fit(demo_capture: Path, true_fit: HandFit, fit_cache: Path, shared_folder: Path) -> None:
    """In the cache that tests share, the fit of the shipped capture is the truth."""
    from helpers.kept_fit import keep

    with FileLock(shared_folder / "kept.lock"):
        if not (fit_cache / "kept").exists():
            keep(true_fit, demo_capture)
            (fit_cache / "kept").touch()


@pytest.fixture(scope="session")
def true_fit_cache(demo_capture: Path, true_fit: HandFit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which the fit of the shipped capture is the truth, and nothing else is."""
    from helpers.kept_fit import keep

    folder = tmp_path_factory.mktemp("true-fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERFSTUDIO_HANDS_CACHE", str(folder))
        keep(true_fit, demo_capture)
    return folder


@pytest.fixture(autouse=True)
def no_logs_are_left_open() -> Iterator[None]:
    """nerfstudio goes on to write logs of trainings of its process that are done, where their folders may be gone."""
    yield
    if writer := sys.modules.get("nerfstudio.utils.writer"):
        writer.EVENT_WRITERS.clear()


@pytest.fixture
def no_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nobody has fetched the weights."""
    from nerfstudio_hands.evaluation import image_metrics
    from nerfstudio_hands.evaluation.perceptual import MissingWeights

    def missing(net: str):
        raise MissingWeights("not here")

    monkeypatch.setattr(image_metrics, "load_lpips", missing)
    image_metrics._lpips_network.cache_clear()
