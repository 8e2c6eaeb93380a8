"""`ns-hands predict`: hands of pictures and videos, in meters, from one picture each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Optional, Tuple

from nerfstudio_hands.cli.input_paths import check_hand_model
from nerfstudio_hands.cli.output_folder import check_can_be_made, prepare_output_folder, write_bytes, write_image
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.program.option_range import require_range

if TYPE_CHECKING:
    from nerfstudio_hands.export.predictor_kinds import Predictor

MAX_THREADS = 4
"""A network as small as the detector's gains nothing from more."""
MAX_PIXELS = 1_000_000
"""Of a focal length, and of a principal point to either side."""
SHEET = 12
"""Pictures of the overview."""


def predict(
    *,
    images: Optional[Path] = None,
    output_dir: Path = Path("predictions"),
    load_config: Optional[Path] = None,
    network: Optional[Path] = None,
    hand_model: str = "default",
    intrinsics: Optional[Tuple[float, float, float, float]] = None,
    side: Literal["auto", "left", "right"] = "auto",
    whole_image: bool = False,
    max_hands: int = 2,
    detector_weights: Optional[Path] = None,
    refine: bool = True,
    register: bool = False,
    meshes: Literal["none", "ply", "glb"] = "glb",
    turntables: bool = False,
    save_network: Optional[Path] = None,
) -> None:
    """Predict hands from single pictures: pose, shape and place in meters before the camera.

    Writes OUTPUT_DIR/hands.json (parameters in MANO's layout, joints in meters and pixels, for every picture),
    OUTPUT_DIR/overlays/ (picture, hands over it, hands from the side), OUTPUT_DIR/meshes/ and OUTPUT_DIR/overview.jpg.
    Of a network of hand-object-sdf: closed surfaces of each hand and what it holds instead of parameters.

    Args:
        images: Folder of pictures, a picture, or a video; without, the network is saved and nothing else done.
        output_dir: Folder for what is found.
        load_config: A run's config.yml of `ns-train hand-monocular` or `hand-object-sdf`, instead of the network of
            single hands that comes along.
        network: File of a network instead, as --save-network writes it, or "hand-object" for the network of
            hand-object-sdf that comes along.
        hand_model: What the network of --network was trained for: "default" is the built-in CC0 hand; or a folder with
            MANO's or NIMBLE's files.
        intrinsics: fx fy cx cy of the pictures, pixels, each focal length from 1 to 1000000. Without, a field of view
            of 60 degrees over the longer side is taken: directions and poses hardly change, distances do in
            proportion.
        side: Which hand pictures show; by default the detector decides.
        whole_image: Take each picture for the crop of one hand instead of looking for hands; needs --side.
        max_hands: Hands that a picture may show, 1 to 8.
        detector_weights: Folder with the detector's two files instead of those of `ns-hands fetch-weights`.
        refine: Lay hands on what heat maps and detector see in the pictures; those of a video get one shape and move
            smoothly.
        register: Then move them onto the outline that each picture shows, about a second a picture; not for NIMBLE's
            hand.
        meshes: Which files of the hands are written.
        turntables: Write OUTPUT_DIR/turntables/NAME.webp, hands, and what they hold, from all around.
        save_network: File (.npz) to write the network to, of a run a quarter of its checkpoint's size; also of a run of
            `ns-train hand-from-joints`, which is for nothing else here.
    """
    if images is None and save_network is None:
        raise HandsError(
            "--images: expected pictures to find hands in, found none: give a folder, a picture or a video, or a file "
            "that --save-network is to write a network to."
        )
    require_range("--max-hands", max_hands, 1, 8)
    if load_config is not None and network is not None:
        raise HandsError(
            "--load-config, --network: expected one network, found both: give the config.yml of a run, or a file that "
            "--save-network wrote; or neither for the network that comes along."
        )
    check_hand_model(hand_model)
    if network is None and hand_model != "default":
        raise HandsError(
            "--hand-model: expected --network with it, found none: a run says its own hand, and the network that comes "
            "along is of the built-in one."
        )
    if whole_image and side == "auto":
        raise HandsError("--whole-image: expected --side left or right with it, found none: say which hand it is.")
    for number, low in zip(intrinsics or (), (1, 1, -MAX_PIXELS, -MAX_PIXELS), strict=False):
        require_range("--intrinsics", number, low, MAX_PIXELS)
    if images is None:
        _save(save_network, _predictor(load_config, network, hand_model), load_config or network)
        return
    check_can_be_made(output_dir, "--output-dir")
    from nerfstudio_hands.preparation.sources import folder_sources, image_or_video

    source = image_or_video(images) if images.is_file() else folder_sources([images])[0]

    from nerfstudio.utils.rich_utils import CONSOLE

    from nerfstudio_hands.estimators.hand_detector import HandDetector
    from nerfstudio_hands.export.hand_finder import HandFinder
    from nerfstudio_hands.export.prediction_run import overview
    from nerfstudio_hands.export.predictor_kinds import run_of

    predictor = _predictor(load_config, network, hand_model)
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    detector = None if whole_image else HandDetector(detector_weights, max_hands=max_hands, threads=threads)
    finder = HandFinder(detector, side, intrinsics)
    run = run_of(predictor, finder, refine=refine, register=register)
    for part in ("overlays", *["meshes"] * (meshes != "none"), *["turntables"] * turntables):
        prepare_output_folder(output_dir / part, keep_out_of=images)
    _save(save_network, predictor, load_config or network)
    tiles = []
    for picture in run.pictures(source, output_dir / "detections"):
        write_image(output_dir / "overlays" / f"{picture.name}.jpg", picture.overlay)
        for name, content in picture.meshes(meshes):
            write_bytes(output_dir / "meshes" / name, content)
        if turntables and (turning := picture.turntable()):
            write_bytes(output_dir / "turntables" / f"{picture.name}.webp", turning)
        tiles.append(picture.overlay)
    write_bytes(output_dir / "hands.json", run.account().encode())
    if not run.tally.hands:
        raise HandsError(
            f"{images}: expected a hand in some picture, found none: hands should be lit, and their palms fill a tenth "
            "of the picture's longer side; or give --whole-image --side."
        )
    write_image(output_dir / "overview.jpg", overview(tiles[:: max(1, len(tiles) // SHEET)][:SHEET]))
    found = run.tally
    CONSOLE.print(
        f"{found.hands} hands in {found.with_hands} of {found.pictures} pictures: {output_dir}/hands.json; look at "
        f"{output_dir / 'overview.jpg'}. Network: {found.milliseconds_a_hand:.0f} ms a hand.",
        soft_wrap=True,
    )


def _save(path: Path | None, predictor: Predictor, source: Path | None) -> None:
    """Writes the network, where that is asked for, with what it was made of."""
    if path is not None:
        from nerfstudio_hands.export.predictor_kinds import write_predictor

        write_predictor(path, predictor, {"made_of": "/".join(source.absolute().parts[-4:-1]) if source else "shipped"})


def _predictor(load_config: Path | None, network: Path | None, hand_model: str) -> Predictor:
    if load_config is not None:
        from nerfstudio_hands.training.trained_network import predictor_of_run

        return predictor_of_run(load_config)
    from nerfstudio_hands.estimators.monocular.weights_file import SHIPPED
    from nerfstudio_hands.export.predictor_kinds import read_predictor
    from nerfstudio_hands.model_components import scene_network_file

    if network == Path("hand-object"):
        network = scene_network_file.SHIPPED
    return read_predictor(network or SHIPPED, hand_model)
