// Rotation vectors (axis times angle in radians), quaternions (x, y, z, w), and matrices (rows one after the other).

function quaternion([x, y, z]) {
  const angle = Math.hypot(x, y, z);
  const scale = angle < 1e-8 ? 0.5 : Math.sin(angle / 2) / angle;
  return [x * scale, y * scale, z * scale, Math.cos(angle / 2)];
}

/** The rotation vector of length at most pi. */
function rotationVector(turn) {
  const [x, y, z, w] = turn[3] < 0 ? turn.map((value) => -value) : turn;
  const sine = Math.hypot(x, y, z);
  const scale = sine < 1e-8 ? 2 : (2 * Math.atan2(sine, w)) / sine;
  return [x * scale, y * scale, z * scale];
}

function quaternionProduct([ax, ay, az, aw], [bx, by, bz, bw]) {
  return [
    aw * bx + ax * bw + ay * bz - az * by,
    aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
}

/** Rotation vectors at constant velocity on the shorter way from one to another. */
function slerp(first, second, fraction) {
  const start = quaternion(first);
  const back = [-start[0], -start[1], -start[2], start[3]];
  const whole = rotationVector(quaternionProduct(back, quaternion(second)));
  return rotationVector(quaternionProduct(start, quaternion(whole.map((value) => value * fraction))));
}

/** The rotation vector of a product of rotations; the last one acts first. */
function composed(...turns) {
  return rotationVector(turns.map(quaternion).reduce(quaternionProduct));
}

function quaternionMatrix([x, y, z, w]) {
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
  ];
}

function rotationMatrix(turn) {
  return quaternionMatrix(quaternion(turn));
}

/** A rigid transform, 12 numbers, of a matrix and a shift. */
function rigid(m, shift) {
  return [0, 1, 2].flatMap((k) => [m[3 * k], m[3 * k + 1], m[3 * k + 2], shift[k]]);
}

/** Product of two rigid transforms, of which the last row is left out: 12 numbers each. */
function rigidProduct(a, b) {
  const product = new Float64Array(12);
  for (let row = 0; row < 12; row += 4) {
    for (let column = 0; column < 4; column++) {
      product[row + column] = a[row] * b[column] + a[row + 1] * b[4 + column] + a[row + 2] * b[8 + column];
    }
    product[row + 3] += a[row + 3];
  }
  return product;
}
