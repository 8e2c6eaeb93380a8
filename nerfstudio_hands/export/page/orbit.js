// A camera that circles round a place: drag turns it, wheel and two fingers bring it nearer, z is up.

const FIELD_OF_VIEW = 35;

class Orbit {
  constructor(canvas, {target, distance, azimuth, elevation}, changed) {
    this.home = {target, distance, azimuth, elevation};
    this.canvas = canvas;
    this.changed = changed;
    this.pointers = new Map();
    this.reset();
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 1e-3));
    }, {passive: false});
    canvas.addEventListener("dblclick", () => this.reset());
  }

  /** Goes back to where the page opened. */
  reset() {
    this.look(this.home);
  }

  /** Looks from somewhere: degrees, meters. */
  look(view) {
    Object.assign(this, view);
    this.changed();
  }

  zoom(factor) {
    const {distance} = this.home;
    this.look({distance: Math.min(Math.max(this.distance * factor, 0.15 * distance), 5 * distance)});
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (other) {
      const apart = ([x, y]) => Math.max(Math.hypot(x - other[1][0], y - other[1][1]), 1);
      this.zoom(apart(before) / apart(now));
      return;
    }
    const elevation = this.elevation + 0.4 * (now[1] - before[1]);
    const azimuth = this.azimuth - 0.4 * (now[0] - before[0]);
    this.look({azimuth, elevation: Math.min(Math.max(elevation, -89), 89)});
  }

  /** The camera of a picture whose pixels have their centers at whole numbers, see `geometry/splats/projection.py`. */
  camera(width, height) {
    const [azimuth, elevation] = [this.azimuth, this.elevation].map((angle) => (angle * Math.PI) / 180);
    const flat = Math.cos(elevation);
    const back = [flat * Math.cos(azimuth), flat * Math.sin(azimuth), Math.sin(elevation)];
    const right = [-Math.sin(azimuth), Math.cos(azimuth), 0], up = cross(back, right);
    const forward = back.map((value) => -value);
    // The shorter side has the field of view, so that a hand fits upright screens too.
    const focal = Math.min(width, height) / 2 / Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
    const toImage = [0, 1, 2].flatMap((k) => [
      focal * right[k] + ((width - 1) / 2) * forward[k], -focal * up[k] + ((height - 1) / 2) * forward[k], forward[k],
    ]);
    const eye = back.map((value, k) => this.target[k] + this.distance * value);
    return {eye, toImage, forward, width, height};
  }
}
