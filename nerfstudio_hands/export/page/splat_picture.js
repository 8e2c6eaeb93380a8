// Splats drawn by WebGL as `geometry/splats` draws them: projected by the slope of the perspective in their middles,
// widened by a pixel's area and made fainter by as much, and laid over each other from back to front.

const SPLATS_A_ROW = 256;
const SPLAT_TEXELS = SPLAT_FLOATS / 4;

const SPLAT_VERTEX = `#version 300 es
precision highp float;
precision highp int;
uniform highp sampler2D splats;
uniform mat3 toImage;  // Its columns are what a step along x, y and z does to column, row (times depth) and depth.
uniform vec3 eye;
uniform vec2 size;
uniform vec3 gain;
uniform vec3 bias;
in uint splat;
out vec2 away;
flat out vec3 conic;
flat out vec4 shade;

vec4 texel(int number) {
  int at = int(splat);
  return texelFetch(splats, ivec2((at % ${SPLATS_A_ROW}) * ${SPLAT_TEXELS} + number, at / ${SPLATS_A_ROW}), 0);
}

vec2 slope(vec3 axis, vec2 middle, float near) {
  vec3 seen = toImage * axis;
  return (seen.xy - seen.z * middle) * near;
}

void main() {
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0);
  vec4 middle = texel(0);
  vec3 seen = toImage * (middle.xyz - eye);
  if (seen.z <= 0.01) return;
  float near = 1.0 / seen.z;
  vec2 place = seen.xy * near;
  if (any(greaterThan(abs(place / size - 0.5), vec2(1.5)))) return;
  vec4 axes[3] = vec4[3](texel(1), texel(2), texel(3));
  vec3 cov = vec3(0.0);
  for (int k = 0; k < 3; k++) {
    vec2 step = slope(axes[k].xyz, place, near);
    cov += vec3(step.x * step.x, step.x * step.y, step.y * step.y);
  }
  float sharp = cov.x * cov.z - cov.y * cov.y;
  cov += vec3(0.1, 0.0, 0.1);
  float blurred = cov.x * cov.z - cov.y * cov.y;
  float opacity = middle.w * sqrt(max(sharp / blurred, 1e-8));
  if (opacity <= 1.0 / 255.0) return;
  vec2 reach = sqrt(2.0 * log(opacity * 255.0) * cov.xz);
  vec3 toward = normalize(middle.xyz - eye);
  vec3 color = vec3(axes[0].w, axes[1].w, axes[2].w)
    + vec3(dot(texel(4).xyz, toward), dot(texel(5).xyz, toward), dot(texel(6).xyz, toward));
  away = reach * (2.0 * vec2(gl_VertexID & 1, gl_VertexID >> 1) - 1.0);
  conic = vec3(cov.z, -cov.y, cov.x) / blurred;
  shade = vec4(max(color, 0.0) * gain + bias, opacity);
  vec2 corner = (place + away + 0.5) / size;
  gl_Position = vec4(2.0 * corner.x - 1.0, 1.0 - 2.0 * corner.y, 0.0, 1.0);
}`;

const SPLAT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 away;
flat in vec3 conic;
flat in vec4 shade;
out vec4 color;
void main() {
  float square = conic.x * away.x * away.x + 2.0 * conic.y * away.x * away.y + conic.z * away.y * away.y;
  float alpha = min(shade.a * exp(-0.5 * square), 0.99);
  if (alpha < 1.0 / 255.0) discard;
  color = vec4(shade.rgb * alpha, alpha);
}`;

function compiled(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}

class SplatPicture {
  constructor(gl, data) {
    this.gl = gl;
    this.data = data;
    this.numOfHands = data.splats.face.length;
    this.total = this.numOfHands + (data.held ? data.held.opacity.length : 0);
    this.showHeld = true;
    this.program = compiled(gl, SPLAT_VERTEX, SPLAT_FRAGMENT);
    this.rows = Math.ceil(this.total / SPLATS_A_ROW);
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.order = gl.createBuffer();
    this.array = gl.createVertexArray();
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.order);
    const splat = gl.getAttribLocation(this.program, "splat");
    gl.enableVertexAttribArray(splat);
    gl.vertexAttribIPointer(splat, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(splat, 1);
  }

  /** Takes over a pose. */
  pose(pose, posed) {
    const {gl, data} = this;
    this.values = new Float32Array(this.rows * SPLATS_A_ROW * SPLAT_FLOATS);
    poseSplats(data, pose, posed, this.values);
    if (data.held) poseHeld(data, pose, this.values.subarray(SPLAT_FLOATS * this.numOfHands));
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    const width = SPLATS_A_ROW * SPLAT_TEXELS;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, this.rows, 0, gl.RGBA, gl.FLOAT, this.values);
  }

  /** Draws what a camera sees, see `Orbit.camera`. */
  draw({eye, toImage, forward, width, height}) {
    const {gl, program} = this;
    // What is held comes last.
    const count = this.showHeld ? this.total : this.numOfHands;
    const set = (name) => gl.getUniformLocation(program, name);
    gl.useProgram(program);
    gl.disable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.ONE, gl.ONE_MINUS_SRC_ALPHA, gl.ZERO, gl.ONE);
    gl.uniformMatrix3fv(set("toImage"), false, toImage);
    gl.uniform3fv(set("eye"), eye);
    gl.uniform2f(set("size"), width, height);
    gl.uniform3fv(set("gain"), this.data.gain);
    gl.uniform3fv(set("bias"), this.data.bias);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.order);
    gl.bufferData(gl.ARRAY_BUFFER, farthestFirst(this.values, count, forward), gl.DYNAMIC_DRAW);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
  }
}

/** Numbers of the first splats from the farthest to the nearest along a direction, counted out into bins of depth. */
function farthestFirst(values, count, forward) {
  const depths = new Float32Array(count), order = new Uint32Array(count), starts = new Uint32Array(65537);
  let low = Infinity, high = -Infinity;
  for (let splat = 0; splat < count; splat++) {
    const at = SPLAT_FLOATS * splat;
    const depth = values[at] * forward[0] + values[at + 1] * forward[1] + values[at + 2] * forward[2];
    depths[splat] = depth;
    low = Math.min(low, depth);
    high = Math.max(high, depth);
  }
  const scale = 65535 / Math.max(high - low, 1e-9);
  const bin = (splat) => Math.floor((high - depths[splat]) * scale);
  for (let splat = 0; splat < count; splat++) starts[bin(splat) + 1]++;
  for (let k = 0; k < 65536; k++) starts[k + 1] += starts[k];
  for (let splat = 0; splat < count; splat++) order[starts[bin(splat)]++] = splat;
  return order;
}
