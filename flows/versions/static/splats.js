"use strict";
// Gaussian splats in a canvas, by WebGL2 alone. Numbers and limits are those of prior3d/splats/projection.py, so that
// an image here is the image there. flows/versions/splats_shown.py says how a Gaussian is packed.
const TEXELS = 3, IN_A_ROW = 512;
const RADIANS = Math.PI / 180;
const VERTEX = `#version 300 es
precision highp float; precision highp int;
uniform highp usampler2D numbers; uniform mat3 turn; uniform vec3 eye; uniform float focal, range; uniform vec2 size;
in vec2 corner; in uint which;
out vec2 place; out vec4 colour;
float signed_byte(uint word, int k) { return float(int(word << (24 - 8 * k)) >> 24) / 127.0; }
void main() {
  gl_Position = vec4(0, 0, 2, 1);
  ivec2 at = ivec2(${TEXELS} * int(which % ${IN_A_ROW}u), int(which / ${IN_A_ROW}u));
  uvec4 a = texelFetch(numbers, at, 0), b = texelFetch(numbers, at + ivec2(1, 0), 0),
    c = texelFetch(numbers, at + ivec2(2, 0), 0);
  vec3 mean = uintBitsToFloat(a.xyz), local = turn * (mean - eye);
  float opacity = unpackHalf2x16(b.z).y, reach = 2.0 * log(255.0 * opacity);
  if (local.z < 0.01 || reach <= 0.0) return;
  vec2 slope = local.xy / local.z, limit = 0.65 * size / focal, cut = clamp(slope, -limit, limit);
  vec4 q = normalize(vec4(unpackSnorm2x16(a.w), unpackSnorm2x16(b.x)));
  float w = q.x, x = q.y, y = q.z, z = q.w;
  mat3 axes = turn * mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
  vec3 scale = exp(vec3(unpackHalf2x16(b.y), unpackHalf2x16(b.z).x)) * focal / local.z;
  float xx = 0.3, xy = 0.0, yy = 0.3;
  for (int k = 0; k < 3; k++) {
    vec2 along = (axes[k].xy - cut * axes[k].z) * scale[k];
    xx += along.x * along.x; xy += along.x * along.y; yy += along.y * along.y;
  }
  float half_sum = 0.5 * (xx + yy), apart = length(vec2(0.5 * (xx - yy), xy)), longest = half_sum + apart;
  vec2 major = abs(xy) < 1e-6 ? (xx >= yy ? vec2(1, 0) : vec2(0, 1)) : normalize(vec2(xy, longest - xx));
  place = corner * sqrt(reach);
  vec2 pixel = slope * focal + 0.5 * size + major * place.x * sqrt(longest)
    + vec2(-major.y, major.x) * place.y * sqrt(max(half_sum - apart, 0.1));
  vec3 d = normalize(mean - eye), first, second, third;
  for (int k = 0; k < 3; k++) {
    first[k] = signed_byte(c.y, k);
    second[k] = k < 1 ? signed_byte(c.y, 3) : signed_byte(c.z, k - 1);
    third[k] = k < 2 ? signed_byte(c.z, k + 2) : signed_byte(c.w, 0);
  }
  vec3 base = vec3(unpackHalf2x16(b.w), unpackHalf2x16(c.x).x);
  vec3 by_direction = 0.48860251 * range * (d.z * second - d.y * first - d.x * third);
  colour = vec4(max(base + by_direction, 0.0), opacity);
  gl_Position = vec4(2.0 * pixel.x / size.x - 1.0, 1.0 - 2.0 * pixel.y / size.y, 0, 1);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec2 place; in vec4 colour; out vec4 drawn;
void main() {
  float alpha = min(0.999, colour.a * exp(-0.5 * dot(place, place)));
  if (alpha < 1.0 / 255.0) discard;
  drawn = vec4(min(colour.rgb, 1.0) * alpha, alpha);
}`;
// What the worker does: the order from the farthest to the nearest along a direction, by counting 65,536 depths.
function sorter() {
  let means = null;
  onmessage = ({ data: asked }) => {
    if (asked.means) { means = asked.means; return; }
    const n = means.length / 3, depths = new Float32Array(n), [x, y, z] = asked.forward;
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < n; i++) {
      const depth = x * means[3 * i] + y * means[3 * i + 1] + z * means[3 * i + 2];
      depths[i] = depth;
      if (depth < low) low = depth;
      if (depth > high) high = depth;
    }
    const bins = new Uint16Array(n), starts = new Uint32Array(65537), order = new Uint32Array(n);
    const scale = high > low ? 65535 / (high - low) : 0;
    for (let i = 0; i < n; i++) {
      bins[i] = (high - depths[i]) * scale;  // rounds towards 0
      starts[bins[i] + 1]++;
    }
    for (let k = 1; k < 65537; k++) starts[k] += starts[k - 1];
    for (let i = 0; i < n; i++) order[starts[bins[i]]++] = i;
    postMessage({ order, forward: asked.forward }, [order.buffer]);
  };
}

class SplatViewer {
  // `shown`: url, count, range, fov, behind, and the orbit {azimuth, elevation, radius} round `target`, in degrees.
  constructor(canvas, shown, onmove) {
    Object.assign(this, { canvas, shown, onmove, orbit: { ...shown.orbit }, turning: false, sorted: null, fingers: new Map() });
    this.ready = this.load();
  }
  async load() {
    const { canvas, shown } = this;
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, preserveDrawingBuffer: true });
    if (!gl) { canvas.replaceWith(Object.assign(document.createElement("div"), { className: "empty", textContent: "This browser has no WebGL 2, which splats need." })); return; }
    this.gl = gl;
    const words = new Uint32Array(await (await fetch(shown.url)).arrayBuffer());
    const means = new Float32Array(3 * shown.count), floats = new Float32Array(words.buffer);
    for (let i = 0; i < shown.count; i++) means.set(floats.subarray(12 * i, 12 * i + 3), 3 * i);
    this.prepare(words);
    const source = URL.createObjectURL(new Blob([`(${sorter})()`], { type: "text/javascript" }));
    this.worker = new Worker(source);
    this.worker.postMessage({ means }, [means.buffer]);
    this.worker.onmessage = ({ data: found }) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.order);
      gl.bufferData(gl.ARRAY_BUFFER, found.order, gl.DYNAMIC_DRAW);
      this.sorted = found.forward;
      this.sorting = false;
      this.draw();
      if (this.forwards().some((v, k) => Math.abs(v - found.forward[k]) > 1e-4)) this.sort();
    };
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.sort();
  }
  prepare(words) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.places = Object.fromEntries(["turn", "eye", "focal", "range", "size"].map((n) => [n, gl.getUniformLocation(program, n)]));
    const rows = Math.ceil(this.shown.count / IN_A_ROW), texels = new Uint32Array(rows * IN_A_ROW * TEXELS * 4);
    texels.set(words);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32UI, IN_A_ROW * TEXELS, rows, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, texels);
    const corner = gl.getAttribLocation(program, "corner"), which = gl.getAttribLocation(program, "which");
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.order = gl.createBuffer());
    gl.enableVertexAttribArray(which);
    gl.vertexAttribIPointer(which, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(which, 1);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }
  // The camera's axes in the world: right, down, forward.
  axes() {
    const a = this.orbit.azimuth * RADIANS, e = this.orbit.elevation * RADIANS;
    const forward = [-Math.cos(e) * Math.cos(a), -Math.cos(e) * Math.sin(a), -Math.sin(e)];
    const down = [Math.sin(e) * Math.cos(a), Math.sin(e) * Math.sin(a), -Math.cos(e)];
    return [[-Math.sin(a), Math.cos(a), 0], down, forward];
  }
  forwards() { return this.axes()[2]; }
  sort() {
    if (this.sorting) return;
    this.sorting = true;
    this.worker.postMessage({ forward: this.forwards() });
  }
  draw() {
    if (!this.sorted) return;
    const { gl, canvas, shown } = this, ratio = Math.min(devicePixelRatio, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio)), height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const [right, down, forward] = this.axes();
    gl.viewport(0, 0, width, height);
    const b = shown.behind;
    gl.clearColor(b ?? 0, b ?? 0, b ?? 0, b === null ? 0 : 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniformMatrix3fv(this.places.turn, false, [0, 1, 2].flatMap((k) => [right[k], down[k], forward[k]]));
    gl.uniform3fv(this.places.eye, shown.target.map((t, k) => t - this.orbit.radius * forward[k]));
    gl.uniform1f(this.places.focal, 0.5 * height / Math.tan(0.5 * shown.fov * RADIANS));
    gl.uniform1f(this.places.range, shown.range);
    gl.uniform2f(this.places.size, width, height);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, shown.count);
    canvas.dataset.drawn = "yes";
  }
  // Look from elsewhere; what is drawn at once has the old order, until the worker has the new one.
  look(orbit, byHand = false) {
    Object.assign(this.orbit, orbit);
    this.orbit.elevation = Math.max(-89, Math.min(89, this.orbit.elevation));
    this.orbit.radius = Math.max(0.05, Math.min(100, this.orbit.radius));
    if (!this.sorted) return;
    this.sort();
    requestAnimationFrame(() => this.draw());
    if (byHand) this.onmove?.(this);
  }
  moved(azimuth, elevation, zoom = 1) {
    const { orbit } = this;
    this.look({ azimuth: orbit.azimuth + azimuth, elevation: orbit.elevation + elevation, radius: orbit.radius * zoom }, true);
  }
  rotate(on) {
    const start = on && !this.turning;
    this.turning = on;
    let before = performance.now();
    const step = (now) => {
      if (!this.turning) return;
      this.look({ azimuth: this.orbit.azimuth + 0.02 * (now - before) });
      before = now;
      requestAnimationFrame(step);
    };
    if (start) requestAnimationFrame(step);
  }
  listen() {
    const { canvas, fingers } = this, apart = () => { const [p, q] = [...fingers.values()]; return Math.hypot(p[0] - q[0], p[1] - q[1]); };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, [event.clientX, event.clientY]); });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      const from = fingers.get(event.pointerId);
      if (!from) return;
      const before = fingers.size === 2 ? apart() : 0;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (fingers.size === 2) this.moved(0, 0, before / Math.max(1, apart()));
      else this.moved(-0.4 * (event.clientX - from[0]), 0.4 * (event.clientY - from[1]));
    });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.moved(0, 0, Math.exp(0.001 * event.deltaY)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] }[event.key];
      if (by) { event.preventDefault(); this.moved(...by); }
    });
  }
}
