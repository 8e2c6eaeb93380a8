"""Files of OpenCV's FileStorage (YAML, XML, JSON): single cameras, stereo pairs, and EasyMocap's intri and extri.

OpenCV's own reader ends the process on a file with deep nesting and takes numbers that are none for -1; these texts are
parsed by the libraries of Python.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import yaml

from nerfstudio_hands.calibration.checked import (
    checked_camera,
    image_wh,
    numbers,
    opencv_intrinsics,
    opencv_lens,
    rigid,
    rotation_of,
)
from nerfstudio_hands.calibration.record import CalibratedCamera, Calibration
from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import MAX_NESTING, UnreadableFile, once, read_json, read_text

MAX_CHARACTERS = 1_000_000
"""Of a YAML or XML file; those of a hundred cameras have 200,000."""

MATRIX_KEYS = ("camera_matrix", "cameraMatrix", "camera_matrix_", "intrinsic_matrix", "intrinsics", "mtx", "K", "M")
LENS_KEYS = (
    "distortion_coefficients", "distCoeffs", "dist_coeffs", "dist_coeff", "distortion", "dist", "D",
)  # fmt: skip
FISHEYE_VALUES = ("fisheye", "equidistant", "kannala_brandt")
ROTATION_KEYS = ("R", "rvec", "rotation", "rotation_matrix", "Rot")
TRANSLATION_KEYS = ("T", "tvec", "translation", "translation_vector", "t")
SIZE_KEYS = (("image_width", "image_height"), ("imageWidth", "imageHeight"), ("width", "height"))


def read_storage(path: Path) -> dict[str, Any]:
    """What a file holds: texts, lists, dictionaries; a matrix is the list of its numbers.

    Raises:
        HandsError: It cannot be read, is nested too deep, or holds no names.
    """
    remedy = "export the calibration again."
    try:
        text = read_text(path)
        if len(text) > MAX_CHARACTERS:
            raise UnreadableFile(f"{len(text)} characters")
        content = _parsed(path, text)
    except (UnreadableFile, RecursionError, ValueError) as error:
        found = " ".join(str(error).split())[:120] or type(error).__name__
        raise HandsError(f"{path}: expected YAML, XML or JSON of a calibration, found '{found}': {remedy}") from error
    if not isinstance(content, dict):
        raise HandsError(f"{path}: expected names and values of a calibration, found none: {remedy}")
    return {str(key): _plain(value) for key, value in content.items()}


def _parsed(path: Path, text: str) -> Any:
    begin = text.lstrip()[:1]
    if begin == "{":
        return read_json(path)
    if begin == "<":
        return _parsed_xml(text)
    _refuse_nesting(text, "[{", "]}")
    # OpenCV's first line, %YAML:1.0, is none that the standard knows.
    text = re.sub(r"\A%YAML.*\n(---)?", "", text)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UnreadableFile(str(error)) from error


class _Loader(yaml.BaseLoader):
    """PyYAML's, which would take the last of several values of one name without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        once([(key.value, None) for key, _ in node.value if isinstance(key.value, str)])
        return super().construct_mapping(node, deep)


def _refuse_nesting(text: str, opening: str, closing: str) -> None:
    depth = 0
    for character in text:
        depth += (character in opening) - (character in closing)
        if depth > MAX_NESTING:
            raise UnreadableFile("lists within lists without end")


def _parsed_xml(text: str) -> Any:
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):
        raise UnreadableFile("a document type, which may name entities")
    depth = 0
    for tag in re.finditer(r"<(/?)[A-Za-z_][^<>]*?(/?)>", text):
        depth += -1 if tag[1] else not tag[2]
        if depth > MAX_NESTING:
            raise UnreadableFile("tags within tags without end")
    try:
        return _element(ElementTree.fromstring(text))
    except ElementTree.ParseError as error:
        raise UnreadableFile(str(error)) from error


def _element(element: ElementTree.Element) -> Any:
    if len(element) == 0:
        words = [word.strip('"') for word in (element.text or "").split()]
        return words[0] if len(words) == 1 else words
    if all(child.tag == "_" for child in element):
        return [_element(child) for child in element]
    return once([(child.tag, _element(child)) for child in element])


def _plain(value: Any) -> Any:
    """A matrix, written as rows, columns and data, becomes its numbers."""
    return value["data"] if isinstance(value, dict) and "data" in value else value


def is_easymocap(content: dict[str, Any]) -> bool:
    """Whether a file is one of EasyMocap's two: `K_NAME` or `Rot_NAME` and a list of names."""
    return "names" in content and any(key.startswith(("K_", "R_", "Rot_")) for key in content)


def read_easymocap(folder: Path) -> Calibration:
    """Read EasyMocap's `intri.yml` (`K_NAME`, `dist_NAME`) and, where it is there, `extri.yml` (`R_NAME` as Rodrigues
    or `Rot_NAME`, and `T_NAME`; world to camera).

    Raises:
        HandsError: The files do not follow the format.
    """
    intri_file, extri_file = folder / "intri.yml", folder / "extri.yml"
    intri = read_storage(intri_file)
    extri = read_storage(extri_file) if extri_file.is_file() else {}
    names = [key.removeprefix("K_") for key in intri if key.startswith("K_")]
    if not names:
        raise HandsError(
            f"{intri_file}: expected K_NAME and dist_NAME for each camera, found {', '.join(list(intri)[:6])}: give "
            "EasyMocap's intri.yml."
        )
    missing = [name for name in _names_of(intri) if name not in names]
    if missing:
        raise HandsError(
            f"{intri_file}: expected K_NAME for each of its names, found none of {missing[0]}: export the calibration "
            "again."
        )
    cameras = {name: _easymocap_camera(intri_file, extri_file, name, intri, extri) for name in names}
    return Calibration(folder, cameras)


def _names_of(content: dict[str, Any]) -> list[str]:
    names = content.get("names")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _easymocap_camera(
    intri_file: Path, extri_file: Path, name: str, intri: dict[str, Any], extri: dict[str, Any]
) -> CalibratedCamera:
    transform = None
    if extri:
        key = next((key for key in (f"Rot_{name}", f"R_{name}") if key in extri), None)
        if key is None or f"T_{name}" not in extri:
            raise HandsError(
                f"{extri_file}: expected R_{name} or Rot_{name}, and T_{name}, as {intri_file.name} has this camera, "
                "found not both: export the calibration again."
            )
        rotation = rotation_of(extri_file, key, extri[key])
        transform = rigid(rotation, numbers(extri_file, f"T_{name}", extri[f"T_{name}"], (3,)))
    lens_key = next((key for key in (f"dist_{name}", f"D_{name}") if key in intri), f"dist_{name}")
    sizes = [table[key] for key in (f"W_{name}", f"H_{name}") for table in (intri, extri) if key in table]
    return checked_camera(
        intri_file,
        name,
        opencv_intrinsics(numbers(intri_file, f"K_{name}", intri[f"K_{name}"], (3, 3))),
        lens=opencv_lens(intri_file, lens_key, intri.get(lens_key, [])),
        world_to_camera=transform,
        size=image_wh(intri_file, f"W_{name} and H_{name}", *sizes[:2]) if len(sizes) >= 2 else None,
        placed_by=extri_file,
    )


def is_opencv_camera(content: dict[str, Any]) -> bool:
    """Whether a file holds the matrix of at least one camera."""
    return any(key in content for key in MATRIX_KEYS) or bool(_stereo_suffixes(content))


def read_opencv_cameras(path: Path, content: dict[str, Any]) -> dict[str, CalibratedCamera]:
    """The camera of a file of OpenCV, called as the file is, or the two of a stereo pair (`M1 D1 M2 D2 R T`,
    `cameraMatrix1` and so on: `R` and `T` lead from the first to the second).

    Raises:
        HandsError: Numbers are missing or none.
    """
    suffixes = _stereo_suffixes(content)
    if not suffixes:
        return {path.stem: _single(path, path.stem, content, "", _transform(path, content))}
    second = _transform(path, content)
    transforms = [rigid(rotation_of(path, "R", [0, 0, 0]), numbers(path, "T", [0, 0, 0], (3,))), second]
    if second is None:
        transforms = [None, None]
    return {
        name: _single(path, name, content, name, transform)
        for name, transform in zip(suffixes, transforms, strict=True)
    }


def _stereo_suffixes(content: dict[str, Any]) -> tuple[str, ...]:
    """What follows the names of the matrices of two cameras."""
    pairs = (("1", "2"), ("_1", "_2"), ("0", "1"), ("_0", "_1"), ("_left", "_right"), ("L", "R"))
    return next((pair for pair in pairs if all(_first(content, MATRIX_KEYS, s) is not None for s in pair)), ())


def _first(content: dict[str, Any], keys: tuple[str, ...], suffix: str = "") -> str | None:
    return next((key + suffix for key in keys if key + suffix in content), None)


def _single(path: Path, name: str, content: dict[str, Any], suffix: str, transform: Any) -> CalibratedCamera:
    matrix = _first(content, MATRIX_KEYS, suffix)
    lens = _first(content, LENS_KEYS, suffix)
    size = next((keys for keys in SIZE_KEYS if all(key in content for key in keys)), None)
    model = str(content.get("distortion_model", content.get("camera_model", ""))).lower()
    return checked_camera(
        path,
        name,
        opencv_intrinsics(numbers(path, str(matrix), content[str(matrix)], (3, 3))),
        lens=None if lens is None else opencv_lens(path, lens, content[lens], fisheye=model in FISHEYE_VALUES),
        world_to_camera=transform,
        size=None if size is None else image_wh(path, size[0], content[size[0]], content[size[1]]),
    )


def _transform(path: Path, content: dict[str, Any]) -> Any:
    rotation, translation = _first(content, ROTATION_KEYS), _first(content, TRANSLATION_KEYS)
    if rotation is None and translation is None:
        return None
    if rotation is None or translation is None:
        raise HandsError(
            f"{path}: expected a rotation and a translation, found {rotation or translation} alone: add the other, or "
            "take it away for a camera without a place."
        )
    found = numbers(path, translation, content[translation], (3,))
    return rigid(rotation_of(path, rotation, content[rotation]), found)
