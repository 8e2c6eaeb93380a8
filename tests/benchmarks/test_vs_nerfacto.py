"""nerfacto gets its schedule, documented settings, all frames and the same judge."""

from __future__ import annotations

from types import SimpleNamespace

import place_on_surface
import pytest
import torch
import vs_nerfacto
from nerfstudio.configs.method_configs import method_configs

from nerfstudio_hands.training.trainer import HandTrainerConfig

STEPS = 300


@pytest.fixture
def args(tmp_path):
    return vs_nerfacto.Benchmark(data=tmp_path, eval_cameras=("03",))


def test_both_schedules_end_with_the_time(args):
    configs = vs_nerfacto.our_config(args, STEPS), vs_nerfacto.nerfacto_config(args, STEPS, 4096)
    for config in configs:
        assert {group["scheduler"].max_steps for group in config.optimizers.values()} == {STEPS}
        assert config.pipeline.datamanager.dataparser.eval_cameras == ("03",)
    # A hundredth of nerfacto's 30,000 steps: its proposals warm up over 5000 of them, and anneal over 1000.
    assert configs[1].pipeline.model.proposal_warmup == 50
    assert configs[1].pipeline.model.proposal_weights_anneal_max_num_iters == 10
    assert method_configs["nerfacto"].optimizers["fields"]["scheduler"].max_steps == 200_000


def test_nerfacto_evaluates_with_the_average_appearance_and_its_own_number_of_rays(args):
    config = vs_nerfacto.nerfacto_config(args, STEPS, 4096)
    assert config.pipeline.model.use_appearance_embedding and config.pipeline.model.use_average_appearance_embedding
    assert config.pipeline.datamanager.train_num_rays_per_batch == 4096
    ours = vs_nerfacto.our_config(args, STEPS).pipeline.datamanager.dataparser
    assert vars(config.pipeline.datamanager.dataparser) == vars(ours)


class FakeTrainer:
    """Counts steps and remembers how it was set up."""

    def __init__(self):
        self.stop_training, self.steps, self.mode = False, 0, None

    def setup(self, test_mode):
        self.mode = test_mode

    def train_iteration(self, step):
        self.steps += 1

    def train(self):
        while not self.stop_training and self.steps < 100_000:
            self.train_iteration(self.steps)


def test_all_frames_train(args, monkeypatch):
    # In nerfstudio's test mode our data manager keeps to the first frame, for exporters.
    trainer = FakeTrainer()
    vs_nerfacto.train(SimpleNamespace(setup=lambda **_: trainer), 1e-4)
    assert trainer.mode == "val"
    other = FakeTrainer()
    other.stop_training = True
    monkeypatch.setattr(HandTrainerConfig, "setup", lambda self, **_: other)
    place_on_surface.train("uv", place_on_surface.Ablation())
    assert other.mode == "val"


def test_a_stopwatch_ends_the_training_and_tells_the_steps_of_a_longer_one(monkeypatch):
    clock = iter(float(second) for second in range(1000))
    monkeypatch.setattr(vs_nerfacto.time, "monotonic", lambda: next(clock))
    trainer = FakeTrainer()
    watch = vs_nerfacto.Stopwatch(trainer, 0.5)
    trainer.train()
    assert trainer.steps == len(watch.ends) == 30
    assert watch.steps_in(5) == 300


def test_what_is_compiled_in_the_first_steps_does_not_count_for_the_speed(monkeypatch):
    seconds = iter([0.0, 12.0, *range(13, 40)])
    monkeypatch.setattr(vs_nerfacto.time, "monotonic", lambda: next(seconds))
    trainer = FakeTrainer()
    watch = vs_nerfacto.Stopwatch(trainer, 0.5)
    trainer.train()
    assert watch.steps_in(1) == 60


def test_one_function_judges_both_on_the_same_images():
    seen = []

    def judge(outputs, batch):
        seen.append((outputs["radiance"], batch["image_idx"]))
        return {"psnr": float(outputs["rgb"].mean()), "mask_iou": float("nan") if batch["image_idx"] else 0.5}, {}

    loader = [(0.2, {"image_idx": 0}), (0.4, {"image_idx": 1})]
    pipeline = SimpleNamespace(
        datamanager=SimpleNamespace(fixed_indices_eval_dataloader=loader),
        model=SimpleNamespace(get_image_metrics_and_images=judge),
    )
    peer = SimpleNamespace(
        eval=lambda: None,
        get_outputs_for_camera=lambda camera: {"rgb": torch.full((2, 2, 3), camera)},
    )
    assert vs_nerfacto.judged(pipeline, peer) == pytest.approx({"psnr": 0.3, "mask_iou": 0.5})
    assert [row for _, row in seen] == [0, 1]
