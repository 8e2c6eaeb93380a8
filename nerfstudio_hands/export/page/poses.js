// Poses of H hands: orient [H, 3], local [H, 15, 3], translation [H, 3], valid [H], in the world of the capture; tracks
// of them over time, and the angles that the sliders show and change. Those of a frame say where it has what the hands
// hold: held {orient [3], translation [3]}, nerfstudio's world.

const FLEXION = 0, SPREAD = 1;

function three(values, row) {
  return values.subarray(3 * row, 3 * row + 3);
}

/** Rows of a pose from a table of poses [T, H, ...]. */
function keyPose(table, key, numHands) {
  const rows = (values, size) => values.slice(key * numHands * size, (key + 1) * numHands * size);
  return {
    orient: rows(table.orient, 3),
    local: rows(table.local, 45),
    translation: rows(table.translation, 3),
    valid: rows(table.valid, 1),
    held: table.held && {
      orient: three(table.held.orient, key).slice(),
      translation: three(table.held.translation, key).slice(),
    },
  };
}

/** The pose of a track at a time in seconds: joints by slerp, wrists on straight lines, as `PoseTrack.at` has it; and
 * so does what is held. */
function trackPose(track, time, numHands) {
  const last = track.times.length - 1;
  let after = track.times.findIndex((value) => value > time);
  after = Math.min(Math.max(after < 0 ? last : after, 1), last);
  const before = Math.max(after - 1, 0);
  const span = Math.max(track.times[after] - track.times[before], 1e-9);
  const place = Math.min(Math.max((time - track.times[before]) / span, 0), 1);
  const first = keyPose(track, before, numHands), second = keyPose(track, after, numHands);
  for (let hand = 0; hand < numHands; hand++) mixHand(first, second, hand, place);
  if (first.held) mixRow(first.held, second.held, 0, place);
  return first;
}

/** Moves a hand of one pose towards that of another; a hand that only one of them has is shown as it is there. */
function mixHand(first, second, hand, place) {
  const inFirst = first.valid[hand] && place < 1, inSecond = second.valid[hand] && place > 0;
  const fraction = inFirst ? (inSecond ? place : 0) : 1;
  first.valid[hand] = inFirst || inSecond ? 1 : 0;
  mixRow(first, second, hand, fraction);
  for (let joint = 15 * hand; joint < 15 * hand + 15; joint++) {
    three(first.local, joint).set(slerp(three(first.local, joint), three(second.local, joint), fraction));
  }
}

/** Turns and shifts one row of a table towards that of another. */
function mixRow(first, second, row, fraction) {
  three(first.orient, row).set(slerp(three(first.orient, row), three(second.orient, row), fraction));
  for (let axis = 3 * row; axis < 3 * row + 3; axis++) {
    first.translation[axis] += fraction * (second.translation[axis] - first.translation[axis]);
  }
}

/** An angle of a joint in radians: its rotation vector along one of the joint's own axes. */
function jointAngle(hand, pose, number, joint, angle) {
  const turn = three(pose.local, 15 * number + joint), axis = three(hand.jointAxes, 3 * joint + angle);
  return turn[0] * axis[0] + turn[1] * axis[1] + turn[2] * axis[2];
}

function turnJoint(hand, pose, number, joint, angle, change) {
  const turn = three(pose.local, 15 * number + joint), axis = three(hand.jointAxes, 3 * joint + angle);
  for (let k = 0; k < 3; k++) turn[k] += change * axis[k];
}

/** What a slider shows of a pose, degrees; a wrist is counted from the pose itself. */
function sliderAngle(hand, slider, pose, number) {
  if (slider.kind === "wrist") return 0;
  const joints = slider.kind === "spread" ? [0] : [0, 1, 2];
  const angle = slider.kind === "spread" ? SPREAD : FLEXION;
  const sum = joints.reduce((total, k) => total + jointAngle(hand, pose, number, slider.joint + k, angle), 0);
  return (sum * 180) / Math.PI;
}

/**
 * Shares a finger's flexion out over its joints: each goes the same part of the way that it has left to its own limit,
 * as `viewer/finger_angles.py` has it.
 */
function flexFinger(hand, pose, number, firstJoint, total) {
  const angles = [0, 1, 2].map((k) => jointAngle(hand, pose, number, firstJoint + k, FLEXION));
  const change = total - angles[0] - angles[1] - angles[2];
  const room = angles.map((angle, k) => {
    const limit = hand.jointLimits[6 * (firstJoint + k) + 2 * FLEXION + (change > 0 ? 1 : 0)];
    return change > 0 ? Math.max(limit - angle, 0) : Math.min(limit - angle, 0);
  });
  const all = room[0] + room[1] + room[2];
  if (!all) return;
  const part = Math.min(change / all, 1);
  room.forEach((way, k) => turnJoint(hand, pose, number, firstJoint + k, FLEXION, way * part));
}

/** Changes one hand of a pose by the sliders that have been moved: degrees by their names. */
function bendHand(hand, pose, number, moved) {
  const wrist = [];
  for (const slider of hand.sliders) {
    const angle = ((moved[slider.name] ?? 0) * Math.PI) / 180;
    if (slider.kind === "wrist") wrist.push(slider.axis.map((value) => value * angle));
    else if (!(slider.name in moved)) continue;
    else if (slider.kind === "flexion") flexFinger(hand, pose, number, slider.joint, angle);
    else {
      const change = angle - jointAngle(hand, pose, number, slider.joint, SPREAD);
      turnJoint(hand, pose, number, slider.joint, SPREAD, change);
    }
  }
  // Twist first, then deviation, then flexion: the order from the forearm to the hand.
  const [flexion, deviation, twist] = wrist;
  three(pose.orient, number).set(composed(three(pose.orient, number), twist, deviation, flexion));
}
