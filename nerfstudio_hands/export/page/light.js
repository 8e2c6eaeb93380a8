// How bright the posed surface is, self-shadow included: rays from every vertex in the directions of
// `geometry/light/transfer.py`. All rays of a direction run side by side, so that a grid across them tells which faces
// each may meet. A pose has a hundred thousand rays, hence plain loops over plain numbers.

/** Meters by which rays start above the surface, and beyond which nothing casts a shadow. */
const LIFT = 5e-4, SHADOW_REACH = 0.2;

/** Side of a cell in meters: about that of a face. */
const CELL = 5e-3;

/** Irradiance over pi of the vertices [V, 3]: the light of every direction that reaches them times its cosine. */
function irradiance(light, {vertices, normals, valid}, vertexHand, faces) {
  const found = new Float32Array(vertices.length);
  const lifted = vertices.map((value, k) => value + LIFT * normals[k]);
  const there = new Uint32Array(faces.length / 3).map((_, face) => face)
    .filter((face) => valid[vertexHand[faces[3 * face]]]);
  for (let number = 0; number < light.directions.length / 3; number++) {
    const direction = three(light.directions, number);
    const [dx, dy, dz] = direction, [red, green, blue] = three(light.radiance, number);
    const axes = axesAcross(direction), starts = turned(lifted, axes);
    const grid = new FaceGrid(turned(vertices, axes), faces, there);
    for (let vertex = 0, at = 0; vertex < vertexHand.length; vertex++, at += 3) {
      const cosine = normals[at] * dx + normals[at + 1] * dy + normals[at + 2] * dz;
      if (cosine <= 0 || !valid[vertexHand[vertex]]) continue;
      if (grid.blocks(starts[at], starts[at + 1], starts[at + 2])) continue;
      found[at] += cosine * red;
      found[at + 1] += cosine * green;
      found[at + 2] += cosine * blue;
    }
  }
  return found;
}

/** Two axes across a direction, and the direction. */
function axesAcross(direction) {
  const side = normalized(cross(direction, Math.abs(direction[0]) < 0.6 ? [1, 0, 0] : [0, 1, 0]));
  return [side, cross(direction, side), direction];
}

/** Points along other axes. */
function turned(points, [[ax, ay, az], [bx, by, bz], [cx, cy, cz]]) {
  const found = new Float32Array(points.length);
  for (let at = 0; at < points.length; at += 3) {
    const x = points[at], y = points[at + 1], z = points[at + 2];
    found[at] = ax * x + ay * y + az * z;
    found[at + 1] = bx * x + by * y + bz * z;
    found[at + 2] = cx * x + cy * y + cz * z;
  }
  return found;
}

/** Some of a surface's faces by the cells of the plane x, y that they lie in. */
class FaceGrid {
  constructor(vertices, faces, there) {
    Object.assign(this, {vertices, faces});
    const bounds = there.length ? this.bounds(there) : [0, 0, 0, 0];
    [this.left, this.bottom] = bounds;
    this.columns = Math.floor((bounds[2] - this.left) / CELL) + 1;
    this.rows = Math.floor((bounds[3] - this.bottom) / CELL) + 1;
    // Each cell is a list: its first entry, and of every entry the face and the next entry.
    this.first = new Int32Array(this.columns * this.rows).fill(-1);
    this.entries = [];
    for (const face of there) this.add(face);
  }

  /** Left, bottom, right and top of some faces. */
  bounds(there) {
    const found = [Infinity, Infinity, -Infinity, -Infinity];
    for (const face of there) {
      for (let corner = 3 * face; corner < 3 * face + 3; corner++) {
        const x = this.vertices[3 * this.faces[corner]], y = this.vertices[3 * this.faces[corner] + 1];
        if (x < found[0]) found[0] = x;
        if (y < found[1]) found[1] = y;
        if (x > found[2]) found[2] = x;
        if (y > found[3]) found[3] = y;
      }
    }
    return found;
  }

  add(face) {
    const {vertices, faces} = this;
    const a = 3 * faces[3 * face], b = 3 * faces[3 * face + 1], c = 3 * faces[3 * face + 2];
    const column = (x) => Math.floor((x - this.left) / CELL), row = (y) => Math.floor((y - this.bottom) / CELL);
    const right = column(Math.max(vertices[a], vertices[b], vertices[c]));
    const top = row(Math.max(vertices[a + 1], vertices[b + 1], vertices[c + 1]));
    const left = column(Math.min(vertices[a], vertices[b], vertices[c]));
    for (let y = row(Math.min(vertices[a + 1], vertices[b + 1], vertices[c + 1])); y <= top; y++) {
      for (let x = left; x <= right; x++) {
        const cell = y * this.columns + x;
        this.entries.push(face, this.first[cell]);
        this.first[cell] = this.entries.length - 2;
      }
    }
  }

  /** Whether a face lies beyond a place along z. */
  blocks(x, y, z) {
    const column = Math.floor((x - this.left) / CELL), row = Math.floor((y - this.bottom) / CELL);
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) return false;
    for (let entry = this.first[row * this.columns + column]; entry >= 0; entry = this.entries[entry + 1]) {
      const depth = this.depthAt(this.entries[entry], x, y);
      if (depth > z && depth < z + SHADOW_REACH) return true;
    }
    return false;
  }

  /** Where a face is along z; NaN beside it. */
  depthAt(face, x, y) {
    const {vertices: v, faces} = this;
    const a = 3 * faces[3 * face], b = 3 * faces[3 * face + 1], c = 3 * faces[3 * face + 2];
    const ofA = (v[b] - x) * (v[c + 1] - y) - (v[c] - x) * (v[b + 1] - y);
    const ofB = (v[c] - x) * (v[a + 1] - y) - (v[a] - x) * (v[c + 1] - y);
    const ofC = (v[a] - x) * (v[b + 1] - y) - (v[b] - x) * (v[a + 1] - y);
    const inside = (ofA >= 0 && ofB >= 0 && ofC >= 0) || (ofA <= 0 && ofB <= 0 && ofC <= 0);
    return inside ? (ofA * v[a + 2] + ofB * v[b + 2] + ofC * v[c + 2]) / (ofA + ofB + ofC) : NaN;
  }
}
