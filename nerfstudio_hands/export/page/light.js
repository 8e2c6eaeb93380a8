// How bright the posed surface is, self-shadow included: rays from every vertex in the directions of
// `geometry/light/transfer.py`. All rays of a direction run side by side, so that a grid across them tells which faces
// each may meet. A pose has a hundred thousand rays, hence plain loops over plain numbers.

/** Meters by which rays start above the surface, and beyond which nothing casts a shadow. */
const LIFT = 5e-4, SHADOW_REACH = 0.2;

/** Side of a cell in meters, less than that of a face. */
const CELL = 3.5e-3;

/** Irradiance over pi of the vertices [V, 3]: the light of every direction that reaches them times its cosine. */
function irradiance(light, {vertices, normals, valid}, vertexHand, faces) {
  const found = new Float32Array(vertices.length);
  const lifted = vertices.map((value, k) => value + LIFT * normals[k]);
  const there = new Uint32Array(faces.length / 3).map((_, face) => face)
    .filter((face) => valid[vertexHand[faces[3 * face]]]);
  const grid = new FaceGrid(faces, there);
  for (let number = 0; number < light.directions.length / 3; number++) {
    const direction = three(light.directions, number);
    const [dx, dy, dz] = direction, [red, green, blue] = three(light.radiance, number);
    const axes = axesAcross(direction), starts = turned(lifted, axes);
    grid.fill(turned(vertices, axes));
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
  constructor(faces, there) {
    Object.assign(this, {faces, there});
    // Each cell is a list: its first entry, and of every entry its face and the next entry.
    this.first = new Int32Array(1024);
    this.entryFace = new Int32Array(8 * there.length);
    this.entryNext = new Int32Array(8 * there.length);
    this.deepest = new Float32Array(faces.length / 3);
  }

  /** Takes over where the vertices are. */
  fill(vertices) {
    this.vertices = vertices;
    const [left, bottom, right, top] = this.bounds();
    Object.assign(this, {left, bottom, count: 0});
    this.columns = Math.floor((right - left) / CELL) + 1;
    this.rows = Math.floor((top - bottom) / CELL) + 1;
    if (this.columns * this.rows > this.first.length) this.first = new Int32Array(2 * this.columns * this.rows);
    this.first.fill(-1);
    for (const face of this.there) this.add(face);
  }

  /** Left, bottom, right and top of the faces. */
  bounds() {
    const {vertices, faces} = this;
    let left = Infinity, bottom = Infinity, right = -Infinity, top = -Infinity;
    for (const face of this.there) {
      for (let corner = 3 * face; corner < 3 * face + 3; corner++) {
        const x = vertices[3 * faces[corner]], y = vertices[3 * faces[corner] + 1];
        left = Math.min(left, x);
        right = Math.max(right, x);
        bottom = Math.min(bottom, y);
        top = Math.max(top, y);
      }
    }
    return [left, bottom, right, top];
  }

  add(face) {
    const {vertices: v, faces, left, bottom} = this;
    const a = 3 * faces[3 * face], b = 3 * faces[3 * face + 1], c = 3 * faces[3 * face + 2];
    const firstColumn = Math.floor((Math.min(v[a], v[b], v[c]) - left) / CELL);
    const lastColumn = Math.floor((Math.max(v[a], v[b], v[c]) - left) / CELL);
    const lastRow = Math.floor((Math.max(v[a + 1], v[b + 1], v[c + 1]) - bottom) / CELL);
    this.deepest[face] = Math.max(v[a + 2], v[b + 2], v[c + 2]);
    let row = Math.floor((Math.min(v[a + 1], v[b + 1], v[c + 1]) - bottom) / CELL);
    for (; row <= lastRow; row++) {
      for (let column = firstColumn; column <= lastColumn; column++) this.enter(row * this.columns + column, face);
    }
  }

  enter(cell, face) {
    if (this.count === this.entryFace.length) this.grow();
    this.entryFace[this.count] = face;
    this.entryNext[this.count] = this.first[cell];
    this.first[cell] = this.count++;
  }

  grow() {
    for (const name of ["entryFace", "entryNext"]) {
      const more = new Int32Array(2 * this.count + 1);
      more.set(this[name]);
      this[name] = more;
    }
  }

  /** Whether a face lies beyond a place along z. */
  blocks(x, y, z) {
    const column = Math.floor((x - this.left) / CELL), row = Math.floor((y - this.bottom) / CELL);
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) return false;
    for (let entry = this.first[row * this.columns + column]; entry >= 0; entry = this.entryNext[entry]) {
      const face = this.entryFace[entry];
      if (this.deepest[face] <= z) continue;
      const depth = this.depthAt(face, x, y);
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
