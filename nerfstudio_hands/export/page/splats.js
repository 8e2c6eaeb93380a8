// Gaussians on the posed surface, as `model_components/posed_splats.py` has them.

/** Exponent between light and the values of pictures, and the least light of a vertex. */
const GAMMA = 2.2, MIN_LIGHT = 1e-3;

/** Factor of the harmonics of level one. */
const LINEAR_HARMONIC = 0.4886025119029199;

/** Numbers a splat: middle and opacity; the three half axes, each with a channel of the color; the color's slopes. */
const SPLAT_FLOATS = 28;

/** Height and color of the vertices [V, 4]: what all poses share, and what is linear in the pose code. */
function vertexLook(look, pose) {
  const found = look.base.slice();
  for (let number = 0; number < look.codeEntries.length; number++) {
    const scaled = (pose.local[look.codeEntries[number]] - look.codeMiddle[number]) * look.codeScale[number];
    const factor = Math.min(Math.max(scaled, -1), 1);
    const start = number * found.length;
    for (let k = 0; k < found.length; k++) found[k] += factor * look.correctives[start + k];
  }
  return found;
}

/** Factors on the colors of the vertices [V, 3]. */
function brightness(data, posed) {
  if (!data.light.directions.length) return new Float32Array(posed.vertices.length).fill(1);
  return irradiance(data.light, posed, data.vertexHand, data.closedFaces)
    .map((value) => Math.max(value, MIN_LIGHT) ** (1 / GAMMA));
}

/** What splats take from the vertices [V, 13]: place, normal, brightness, height, color. */
function vertexValues(data, pose, posed) {
  const look = vertexLook(data.look, pose), bright = brightness(data, posed);
  const found = new Float32Array((posed.vertices.length / 3) * 13);
  for (let vertex = 0; vertex < posed.vertices.length / 3; vertex++) {
    found.set(three(posed.vertices, vertex), 13 * vertex);
    found.set(three(posed.normals, vertex), 13 * vertex + 3);
    found.set(three(bright, vertex), 13 * vertex + 6);
    found.set(look.subarray(4 * vertex, 4 * vertex + 4), 13 * vertex + 9);
  }
  return found;
}

/** Writes the numbers of all splats in a pose, `SPLAT_FLOATS` each; those of absent hands stay zero: transparent. */
function poseSplats(data, pose, posed, out) {
  const {splats} = data, values = vertexValues(data, pose, posed), there = new Float32Array(13);
  for (let splat = 0; splat < splats.face.length; splat++) {
    const corners = three(data.rig.faces, splats.face[splat]);
    if (!posed.valid[data.vertexHand[corners[0]]]) continue;
    const [a, b, c] = three(splats.barycentric, splat);
    for (let k = 0; k < 13; k++) {
      there[k] = a * values[13 * corners[0] + k] + b * values[13 * corners[1] + k] + c * values[13 * corners[2] + k];
    }
    const row = out.subarray(SPLAT_FLOATS * splat, SPLAT_FLOATS * (splat + 1));
    placeSplat(data, splat, corners, posed.vertices, there, row);
  }
}

/** One splat's numbers, from what its vertices say at its place. */
function placeSplat({splats, faceLengths}, splat, corners, vertices, there, out) {
  const normal = normalized(there.subarray(3, 6));
  const height = splats.shell * Math.tanh(splats.height[splat] + there[9]);
  const axes = halfAxes(splats, splat, three(faceLengths, splats.face[splat]), corners, vertices);
  for (let k = 0; k < 3; k++) {
    const light = there[6 + k];
    out[k] = there[k] + height * normal[k];
    out.set(axes[k], 4 + 4 * k);
    out[7 + 4 * k] = (splats.color[3 * splat + k] + there[10 + k]) * light;
    out.set(viewSlopes(splats.view, splat, k, normal, light), 16 + 4 * k);
  }
  out[3] = splats.opacity[splat];
}

/** Half axes in the frame of the face, which stretches and turns with it, see `geometry/face_frames.py`. */
function halfAxes(splats, splat, [length, along, across], corners, vertices) {
  const [first, second] = [1, 2].map((k) => minus(three(vertices, corners[k]), three(vertices, corners[0])));
  const normal = normalized(cross(first, second));
  const cosine = Math.cos(splats.turn[splat]), sine = Math.sin(splats.turn[splat]);
  const [long, wide] = splats.halfAxes.subarray(2 * splat, 2 * splat + 2);
  const axes = [[], [], []];
  for (let k = 0; k < 3; k++) {
    const start = first[k] / length, side = (second[k] - along * start) / across;
    axes[0].push(long * (cosine * start + sine * side));
    axes[1].push(wide * (cosine * side - sine * start));
    axes[2].push(splats.thickness[splat] * normal[k]);
  }
  return axes;
}

/** How a channel of the color grows along x, y and z of the view: the factors of level one, in the order y, z, x and of
 * the mirrored view, mirrored themselves. */
function viewSlopes(view, splat, channel, normal, light) {
  const slopes = [2, 0, 1].map((level) => view[9 * splat + 3 * level + channel] * light * LINEAR_HARMONIC);
  const ahead = 2 * dot(slopes, normal);
  return slopes.map((slope, k) => slope - ahead * normal[k]);
}
