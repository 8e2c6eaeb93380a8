// The hands' surface, skinned as `hand_model/model.py` skins it, in nerfstudio's world, meters.

/** Transforms of a hand's bones from the rest pose to the world, 12 numbers each. */
function boneTransforms(hand, pose, number, world) {
  const turns = [rotationMatrix(three(pose.orient, number))];
  for (let joint = 0; joint < 15; joint++) turns.push(rotationMatrix(three(pose.local, 15 * number + joint)));
  const shift = three(pose.translation, number);
  const place = rigidProduct(world, [1, 0, 0, shift[0], 0, 1, 0, shift[1], 0, 0, 1, shift[2]]);
  const chained = [];
  const bones = turns.map((m, joint) => {
    const at = three(hand.joints, joint), parent = hand.parents[joint];
    const from = parent < 0 ? [0, 0, 0] : three(hand.joints, parent);
    const local = rigid(m, minus(at, from));
    chained.push(rigidProduct(parent < 0 ? place : chained[parent], local));
    return rigidProduct(chained[joint], [1, 0, 0, -at[0], 0, 1, 0, -at[1], 0, 0, 1, -at[2]]);
  });
  return {turns, bones};
}

/** Rest vertices with the offsets that the hand model has by the entries of the rotations. */
function restVertices(hand, turns) {
  const rest = hand.vertices.slice();
  const size = rest.length;
  for (let entry = 0; entry * size < hand.poseOffsets.length; entry++) {
    const factor = turns[1 + Math.floor(entry / 9)][entry % 9] - (entry % 9 % 4 === 0 ? 1 : 0);
    for (let k = 0; k < size; k++) rest[k] += factor * hand.poseOffsets[entry * size + k];
  }
  return rest;
}

function skinHand(hand, pose, number, world, out) {
  const {turns, bones} = boneTransforms(hand, pose, number, world);
  const rest = restVertices(hand, turns);
  const blend = new Float64Array(12);
  for (let vertex = 0; vertex < rest.length / 3; vertex++) {
    blend.fill(0);
    for (let joint = 0; joint < 16; joint++) {
      const weight = hand.weights[16 * vertex + joint];
      if (weight) for (let k = 0; k < 12; k++) blend[k] += weight * bones[joint][k];
    }
    const [x, y, z] = three(rest, vertex);
    for (let k = 0; k < 3; k++) {
      out[3 * vertex + k] = blend[4 * k] * x + blend[4 * k + 1] * y + blend[4 * k + 2] * z + blend[4 * k + 3];
    }
  }
}

/** Posed vertices of all hands, their normals, and which hands are there. */
function poseRig(rig, pose) {
  const vertices = new Float32Array(rig.hands.reduce((sum, hand) => sum + hand.vertices.length, 0));
  let start = 0;
  rig.hands.forEach((hand, number) => {
    const part = vertices.subarray(start, (start += hand.vertices.length));
    if (pose.valid[number]) skinHand(hand, pose, number, rig.world, part);
  });
  return {vertices, normals: vertexNormals(vertices, rig.faces), valid: pose.valid};
}

/** Normals of faces weighted by the angle at the vertex, as `geometry/mesh.py` has them. */
function vertexNormals(vertices, faces) {
  const normals = new Float32Array(vertices.length);
  for (let corner = 0; corner < faces.length; corner += 3) {
    const corners = [0, 1, 2].map((k) => three(vertices, faces[corner + k]));
    const normal = normalized(cross(minus(corners[1], corners[0]), minus(corners[2], corners[0])));
    for (let k = 0; k < 3; k++) {
      const left = minus(corners[(k + 1) % 3], corners[k]), right = minus(corners[(k + 2) % 3], corners[k]);
      const angle = Math.atan2(Math.hypot(...cross(left, right)), dot(left, right));
      for (let axis = 0; axis < 3; axis++) normals[3 * faces[corner + k] + axis] += angle * normal[axis];
    }
  }
  for (let vertex = 0; vertex < normals.length / 3; vertex++) {
    three(normals, vertex).set(normalized(three(normals, vertex)));
  }
  return normals;
}

function minus(a, b) {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function normalized(vector) {
  const length = Math.hypot(vector[0], vector[1], vector[2]) || 1;
  return [vector[0] / length, vector[1] / length, vector[2] / length];
}
