// The controls beside the picture.

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

/** A slider with its name and its value. */
function slider(name, {low, high, step, unit, digits}, moved) {
  const input = element("input", {type: "range", min: low, max: high, step, ariaLabel: name});
  const value = element("output");
  const set = (number) => {
    input.value = number;
    value.textContent = `${Number(number).toFixed(digits)}${unit}`;
  };
  input.addEventListener("input", () => {
    set(input.value);
    moved(Number(input.value));
  });
  return {row: element("label", {}, name, input, value), set};
}

class Panel {
  constructor(folder, {rig: {hands}, held, tracks}, actions) {
    this.hands = hands;
    this.sliders = hands.map((hand, number) => new Map(hand.sliders.map((one) => [
      one.name,
      slider(one.name, {low: one.low, high: one.high, step: 1, unit: "°", digits: 0},
        (value) => actions.bend(number, one.name, value)),
    ])));
    const first = {low: 0, high: 1, step: "any", unit: " s", digits: 2};
    this.time = slider("Time", first, actions.seek);
    this.play = element("button", {textContent: "Play", onclick: actions.play});
    const names = tracks.map((track) => element("option", {textContent: track.name}));
    this.choice = element("select", {ariaLabel: "Track"}, ...names);
    this.choice.addEventListener("change", () => actions.choose(this.choice.selectedIndex));
    const moving = element("div", {}, this.choice, element("div", {}, this.play), this.time.row);
    this.choice.hidden = tracks.length < 2;
    moving.hidden = tracks.length === 0;
    const reset = element("button", {textContent: "Reset pose", onclick: actions.reset});
    const view = element("button", {textContent: "Reset view", onclick: actions.home});
    const object = element("input", {type: "checkbox", checked: true});
    object.addEventListener("change", () => actions.showHeld(object.checked));
    const holding = element("label", {hidden: !held}, "Object", object);
    const folders = hands.map((hand, number) => element(
      "details", {open: number === 0},
      element("summary", {textContent: `${hand.side === "left" ? "Left" : "Right"} hand`}),
      ...[...this.sliders[number].values()].map((one) => one.row)));
    folder.append(moving, reset, view, holding, ...folders);
  }

  /** Puts the sliders where a pose is, but for those that a person has moved. */
  show(pose, moved) {
    this.hands.forEach((hand, number) => {
      for (const one of hand.sliders) {
        this.sliders[number].get(one.name).set(moved[number][one.name] ?? sliderAngle(hand, one, pose, number));
      }
    });
  }

  showTime(track, time, playing) {
    this.time.row.querySelector("input").max = track.times[track.times.length - 1];
    this.time.set(time);
    this.play.textContent = playing ? "Pause" : "Play";
  }
}
