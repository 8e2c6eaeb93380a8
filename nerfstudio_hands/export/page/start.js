// The page: a pose, a camera, and a picture that is drawn when one of them has changed. `document.body.dataset.state`
// is "drawn" while the picture shows what the controls say.

class HandPage {
  constructor(canvas, gl, data) {
    Object.assign(this, {canvas, gl, data, track: 0, time: data.startTime, playing: false});
    this.fromTrack = false;
    this.moved = data.rig.hands.map(() => ({}));
    this.picture = new SplatPicture(gl, data);
    this.orbit = new Orbit(canvas, data.view, () => this.change());
    this.panel = new Panel(document.getElementById("panel"), data, {
      bend: (hand, name, value) => this.bend(hand, name, value),
      seek: (time) => this.seek(time),
      choose: (track) => this.choose(track),
      play: () => this.play(!this.playing),
      reset: () => this.depart({}),
      home: () => this.orbit.reset(),
      showHeld: (shown) => this.showHeld(shown),
    });
    new ResizeObserver(() => this.change()).observe(canvas);
    this.depart({});
  }

  /** The pose of the controls, without the sliders that a person has moved. */
  basePose() {
    const {data} = this, numHands = data.rig.hands.length;
    if (!this.fromTrack) return keyPose(data.start, 0, numHands);
    return trackPose(data.tracks[this.track], this.time, numHands);
  }

  bend(hand, name, value) {
    this.playing = false;
    this.moved[hand][name] = value;
    this.depart({moved: this.moved});
  }

  seek(time) {
    this.depart({time, fromTrack: true, playing: false});
  }

  choose(track) {
    this.depart({track, time: 0, fromTrack: true});
  }

  play(playing) {
    this.last = undefined;
    this.depart({playing, fromTrack: true});
  }

  showHeld(shown) {
    this.picture.showHeld = shown;
    this.change();
  }

  /** Goes on from another pose; what the sliders have changed is gone unless it is given. */
  depart(to) {
    Object.assign(this, {moved: this.data.rig.hands.map(() => ({}))}, to);
    this.posed = undefined;
    this.change();
  }

  change() {
    document.body.dataset.state = "changing";
    this.request ??= requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.request = undefined;
    if (this.playing) this.advance(now);
    if (!this.posed) this.takePose();
    this.draw();
    if (this.playing) this.change();
    else document.body.dataset.state = "drawn";
  }

  advance(now) {
    const {times} = this.data.tracks[this.track], duration = times[times.length - 1];
    if (this.last !== undefined && duration) this.time = (this.time + (now - this.last) / 1000) % duration;
    this.last = now;
    this.posed = undefined;
  }

  takePose() {
    const {data} = this, base = this.basePose();
    const pose = {...base, orient: base.orient.slice(), local: base.local.slice()};
    data.rig.hands.forEach((hand, number) => bendHand(hand, pose, number, this.moved[number]));
    // A pose that a slider has changed is that of no frame.
    if (this.moved.some((sliders) => Object.keys(sliders).length)) pose.held = undefined;
    this.posed = poseRig(data.rig, pose);
    this.picture.pose(pose, this.posed);
    this.panel.show(base, this.moved);
    if (data.tracks.length) this.panel.showTime(data.tracks[this.track], this.time, this.playing);
  }

  draw() {
    const {canvas, gl} = this;
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (width && height) this.picture.draw(this.orbit.camera(width, height));
  }
}

function sayFault(sentence) {
  for (const part of document.querySelectorAll("canvas, #panel")) part.hidden = true;
  Object.assign(document.getElementById("fault"), {textContent: sentence, hidden: false});
  document.body.dataset.state = "fault";
}

function start() {
  const canvas = document.querySelector("canvas");
  const gl = canvas.getContext("webgl2", {antialias: false, alpha: false});
  if (!gl) {
    sayFault("This page needs WebGL 2, which this browser does not offer: "
      + "switch hardware acceleration on, or open the page in another browser.");
    return;
  }
  canvas.addEventListener("webglcontextlost", () => {
    sayFault("The browser took the graphics memory of this page away: open the page again.");
  });
  window.handPage = new HandPage(canvas, gl, decodedTree(JSON.parse(document.getElementById("data").textContent)));
}

start();
