#!/usr/bin/env bash
# Installs the last commit the ways a stranger would, on a machine made slim, and uses it in an empty folder.
#
#   bash scripts/try_install.sh [readme] [wheel] [editable]    # all without arguments
#
# Slim: no ffmpeg, no compiler, and none of the libraries of windows (libGL, X11, GLib, the system's OpenMP), which are
# covered for this script's processes alone, in a mount namespace of its own. Needs Linux, Python, the package registry,
# some 10 GB of disk and minutes for each way. Plain pip is not tried: it cannot leave out what nuscenes-devkit and viser
# ask for, so that it needs a compiler, and libGL for the OpenCV that it installs last.
set -euo pipefail

if [ -z "${TRY_INSTALL_SLIM:-}" ]; then
  exec env TRY_INSTALL_SLIM=1 unshare --user --map-root-user --mount bash "$0" "$@"
fi

repository=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A library that is empty cannot be loaded, and what is no executable file is not found on PATH.
cover() {
  [ $# -gt 0 ] || return 0
  for file in $(realpath "$@" | sort -u); do
    mount --bind /dev/null "$file"
  done
}

install() {
  "${PYTHON:-python3}" -m venv "$work/env"
  cd "$work/source"
  "$work/env/bin/pip" install --quiet uv
  uv=("$work/env/bin/uv" pip install --quiet --python "$work/env/bin/python" -c constraints.txt)
  case $1 in
    readme) "${uv[@]}" . ;;
    wheel)
      "$work/env/bin/pip" wheel --quiet --no-deps --wheel-dir "$work/wheel" .
      "${uv[@]}" "$work"/wheel/nerfstudio_hands-*.whl
      ;;
    editable) "${uv[@]}" --editable . ;;
    *) echo "expected readme, wheel or editable, found $1" >&2; exit 2 ;;
  esac
}

# A stranger's shell: nothing of ours on PATH, an empty home.
stranger() {
  env -i HOME="$work/home" PATH="$work/env/bin:/usr/bin:/bin" PYTHONWARNINGS=ignore "$@"
}

step() {
  echo "  $1"
  shift
  stranger "$@" >"$work/said" 2>&1 || { tail -40 "$work/said"; exit 1; }
}

use() {
  mkdir -p "$work/home" "$work/empty"
  cd "$work/empty"
  ! stranger which ffmpeg
  stranger pip list 2>/dev/null | grep -iE '^(opencv|numpy|torch |nerfstudio)' | sed 's/^/    /'
  step "import cv2" python -c "import cv2; cv2.imencode('.png', __import__('numpy').zeros((2, 2, 3), 'uint8'))"
  step "ns-hands --help" ns-hands --help
  step "ns-train lists the methods" bash -c 'ns-train --help | tee list; grep -q hand-uvnerf list && grep -q hand-sdf list'
  # In the package, or in the clone where that is installed as editable.
  capture=$(stranger python -c "import nerfstudio_hands.data as data; print(list(data.__path__)[0])")/synthetic-hand/1
  step "20 steps of training" ns-train hand-uvnerf --data "$capture" --output-dir runs --experiment-name try \
    --timestamp run --max-num-iterations 20 --vis tensorboard \
    --pipeline.datamanager.train-num-rays-per-batch 256 hands-data --resolution-scale 0.5
  config=runs/try/hand-uvnerf/run/config.yml
  step "ns-hands turntable" ns-hands turntable --load-config $config --num-frames 4 --width 96 --height 72
  step "ns-hands export" ns-hands export --load-config $config --output-dir mesh
  step "ns-render" ns-render interpolate --load-config $config --output-path render.mp4 --pose-source eval \
    --interpolation-steps 2 --downscale-factor 8
  test -s turntable.mp4 && test -s render.mp4 && test -n "$(ls mesh)"
}

libraries='^lib(GL|EGL|OpenGL|X11|Xext|xcb|SM|ICE|glib|gthread|gomp)'
cover $(type -ap ffmpeg gcc cc g++ c++ clang nvcc) $(/sbin/ldconfig -p | awk -v names="$libraries" '$1 ~ names {print $NF}')
git clone --quiet "$repository" "$work/source"
[ $# -gt 0 ] || set -- readme wheel editable
for way in "$@"; do
  echo "$way"
  install "$way"
  use
  rm -rf "$work/env" "$work/empty" "$work/home"
done
echo "all of it works"
