// Gaussians of what the hands hold, rigid in its own frame, as `model_components/held_splats.py` has them.

/** From the object's frame to the world: of a frame what was learned, else the wrist of the hand that holds it takes it
 * along. Nowhere while that hand is absent. */
function heldPlace({rig, held}, pose) {
  const {orient, translation} = pose.held ?? held.inWrist, place = rigid(rotationMatrix(orient), translation);
  if (pose.held) return place;
  if (!pose.valid[held.hand]) return undefined;
  return rigidProduct(boneTransforms(rig.hands[held.hand], pose, held.hand, rig.world).bones[0], place);
}

/** Writes their numbers, `SPLAT_FLOATS` each; where the object is nowhere they stay zero: transparent. */
function poseHeld(data, pose, out) {
  const place = heldPlace(data, pose);
  if (!place) return;
  for (let splat = 0; splat < data.held.opacity.length; splat++) {
    placeHeldSplat(data.held, splat, place, out.subarray(SPLAT_FLOATS * splat, SPLAT_FLOATS * (splat + 1)));
  }
}

function placeHeldSplat(held, splat, place, out) {
  const turn = quaternionMatrix(held.quaternion.subarray(4 * splat, 4 * splat + 4));
  const own = rigidProduct(place, rigid(turn, three(held.mean, splat)));
  const normal = [own[2], own[6], own[10]], lengths = three(held.halfAxes, splat);
  for (let k = 0; k < 3; k++) {
    out[k] = own[4 * k + 3];
    for (let axis = 0; axis < 3; axis++) out[4 + 4 * axis + k] = lengths[axis] * own[4 * k + axis];
    out[7 + 4 * k] = held.color[3 * splat + k];
    out.set(viewSlopes(held.view, splat, k, normal, 1), 16 + 4 * k);
  }
  out[3] = held.opacity[splat];
}
