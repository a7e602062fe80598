/* A solve that the reader steps through. */

const PACE = 150;

function stepThrough(solve) {
  const data = JSON.parse(solve.querySelector("script.data").textContent);
  const { kind } = data.drawing;
  const scale = scales(data);
  const draw = PICTURES[kind](solve.querySelector(".pictures"), data, scale);
  const slider = solve.querySelector("input");
  const play = solve.querySelector(".play");
  const cursors = [...solve.querySelectorAll("figure.chart")].map((figure) => ({
    cursor: figure.querySelector(".cursor"),
    at: JSON.parse(figure.querySelector("script").textContent).lines[0].at,
  }));
  const last = data.steps.length - 1;
  let timer = null;

  function write(name, value) {
    const place = solve.querySelector(`.readout .${name}`);
    if (place) place.textContent = value;
  }

  function show(frame) {
    slider.value = frame;
    const step = `${data.steps[frame]} of ${data.steps[last]}`;
    const energy = data.energies ? say(data.energies[frame]) : null;
    write("step", step);
    write("energy", energy);
    write("error", say(data.errors[frame]));
    write("largest", say(data.largest[frame]));
    const said = energy === null ? "" : `energy ${energy}, `;
    slider.setAttribute(
      "aria-valuetext",
      `step ${step}, ${said}mean squared error ${say(data.errors[frame])}`,
    );
    draw(data.iterates[frame], frame);
    for (const { cursor, at } of cursors) {
      if (at[frame]) moveCursor(cursor, at[frame][0]);
    }
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }

  function move(frame) {
    stop();
    show(Math.max(0, Math.min(last, frame)));
  }

  slider.addEventListener("input", () => move(Number(slider.value)));
  solve.querySelector(".before").addEventListener("click", () => move(Number(slider.value) - 1));
  solve.querySelector(".after").addEventListener("click", () => move(Number(slider.value) + 1));
  solve.querySelector(".halt")?.addEventListener("click", () => {
    const frame = data.steps.findIndex((step) => step >= data.halted);
    move(frame < 0 ? last : frame);
  });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) === last) show(0);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      const frame = Number(slider.value) + 1;
      show(frame);
      if (frame === last) stop();
    }, PACE);
    return undefined;
  });

  const worst = `Errors from ${say(scale.worst / 10 ** DECADES)} (none) to ${say(scale.worst)} (full).`;
  solve.querySelector(".key").textContent = {
    vector: "",
    grid: "Bold: as the question has it. Underlined on a ground of another colour: wrong.",
    image: `Errors are black below ${say(scale.worst / 10 ** DECADES)} and white at ${say(scale.worst)}.`,
  }[kind] ?? `Answers: blue -${say(scale.size)}, grey 0, orange ${say(scale.size)}. ${worst}`;
  show(0);
}

document.querySelectorAll(".solve").forEach(stepThrough);
