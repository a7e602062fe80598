/* Pictures of an answer: each function adds them to a place and returns what draws an iterate. */

const SVG = "http://www.w3.org/2000/svg";
// The errors shown reach this far below the largest one.
const DECADES = 4;

function add(parent, name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

function say(value) {
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e6) return String(Number(value.toPrecision(4)));
  if (size === 0) return "0";
  const [digits, power] = value.toExponential(3).split("e");
  return `${Number(digits)}e${Number(power)}`;
}

/* A panel with a heading: an svg of the size given, or a canvas. */
function panel(place, title, width, height, drawn = "svg") {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  figure.append(caption);
  place.append(figure);
  if (drawn === "svg") {
    return add(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", title);
  figure.append(canvas);
  return canvas;
}

function mixed(share, end) {
  return `color-mix(in oklab, var(--${end}) ${(100 * Math.min(share, 1)).toFixed(1)}%, var(--mid))`;
}

/* What colours mean: answers from the exact ones' range, errors on a logarithmic scale. */
function scales(data) {
  const size = Math.max(...data.exact.map(Math.abs)) || 1;
  const worst = Math.max(...data.iterates.map((y) => Math.max(...errors(y, data.exact)))) || 1;
  return {
    size,
    worst,
    share: (error) => (error > 0 ? Math.max(0, 1 + Math.log10(error / worst) / DECADES) : 0),
  };
}

function errors(y, exact) {
  return y.map((value, entry) => Math.abs(value - exact[entry]));
}

function titled(element) {
  return add(element, "title");
}

const SAID_OF = (name, value, exact) =>
  `${name}: ${say(value)}, exact ${say(exact)}, error ${say(Math.abs(value - exact))}`;

function drawVector(place, data, scale) {
  place.classList.add("wide");
  const [width, height, left, top, bottom] = [480, 220, 62, 10, 26];
  const entries = data.exact.length;
  const all = [...data.exact, ...data.iterates.flat()].filter(Number.isFinite);
  // A diverging iterate must not press all others flat.
  const low = Math.max(Math.min(...all, 0), -3 * scale.size);
  const high = Math.max(Math.min(Math.max(...all, 0), 3 * scale.size), low + scale.size / 10);
  const x = (entry) => left + ((entry + 0.5) / entries) * (width - left - 8);
  const y = (value) => {
    const inside = Math.min(Math.max(value, low), high);
    return top + ((high - inside) / (high - low)) * (height - top - bottom);
  };
  const wide = Math.max(2, Math.min(12, (0.7 * (width - left)) / entries));
  const svg = panel(place, "Answer (dots) and exact answer (marks)", width, height);
  for (const value of new Set([low, 0, high])) {
    add(svg, "path", { class: "zero", d: `M${left} ${y(value)}H${width - 8}` });
    add(svg, "text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, say(value));
  }
  const below = panel(place, "Error of each entry, log scale", width, height);
  const ground = height - bottom;
  for (let power = 0; power <= DECADES; power += 2) {
    const at = top + (power / DECADES) * (ground - top);
    add(below, "path", { class: "zero", d: `M${left} ${at}H${width - 8}` });
    const value = Number((scale.worst * 10 ** -power).toPrecision(2));
    add(below, "text", { x: left - 6, y: at + 4, "text-anchor": "end" }, say(value));
  }
  for (const each of [svg, below]) {
    const middle = { x: (width + left) / 2, y: height - 6, "text-anchor": "middle" };
    add(each, "text", middle, "entry of the answer");
  }
  const marks = data.exact.map((exact, entry) => {
    const stem = add(svg, "path", { class: "stem" });
    const at = y(exact);
    add(svg, "path", { class: "exact", d: `M${x(entry) - wide / 2} ${at}h${wide}` });
    const dot = add(svg, "circle", { class: "answer", cx: x(entry), r: Math.max(2, wide / 3) });
    const bar = add(below, "rect", { class: "bar", x: x(entry) - wide / 2, width: wide });
    return { stem, dot, bar, titles: [titled(dot), titled(bar)] };
  });
  return (values) => marks.forEach(({ stem, dot, bar, titles }, entry) => {
    const [value, exact] = [values[entry], data.exact[entry]];
    dot.setAttribute("cy", y(value));
    stem.setAttribute("d", `M${x(entry)} ${y(exact)}V${y(value)}`);
    const tall = scale.share(Math.abs(value - exact)) * (ground - top);
    bar.setAttribute("y", ground - tall);
    bar.setAttribute("height", tall);
    for (const title of titles) title.textContent = SAID_OF(`entry ${entry}`, value, exact);
  });
}

/* Three panels of the same shapes: the answer, the exact answer, and how far apart they are.
   Lines are the fainter the less there is to see, so that they do not hide one another. */
function three(place, data, scale, width, height, shapes) {
  const [answer, exact, apart] = ["Answer", "Exact answer", "Error of each entry, log scale"].map(
    (title) => shapes(panel(place, title, width, height)),
  );
  const paint = ({ element, property, title }, share, end, said) => {
    element.style[property] = mixed(share, end);
    if (property === "stroke") element.style.strokeOpacity = 0.12 + 0.88 * Math.min(share, 1);
    title.textContent = said;
  };
  const value = (shape, number, said) =>
    paint(shape, Math.abs(number) / scale.size, number < 0 ? "low" : "high", said);
  data.exact.forEach((number, entry) => {
    value(exact[entry], number, `${exact[entry].name}: exact ${say(number)}`);
  });
  return (values) => values.forEach((number, entry) => {
    const said = SAID_OF(answer[entry].name, number, data.exact[entry]);
    value(answer[entry], number, said);
    paint(apart[entry], scale.share(Math.abs(number - data.exact[entry])), "high", said);
  });
}

function drawMatrix(place, data, scale, nodes = null) {
  const [rows, columns] = data.drawing.shape;
  const side = 240 / Math.max(rows, columns);
  return three(place, data, scale, side * columns, side * rows, (svg) =>
    data.exact.map((_, entry) => {
      const [row, column] = [Math.floor(entry / columns), entry % columns];
      const corner = { x: column * side, y: row * side, width: side * 0.96, height: side * 0.96 };
      const element = add(svg, "rect", { class: "cell", ...corner });
      const name = nodes ? `node ${row} to node ${column}` : `row ${row + 1}, column ${column + 1}`;
      return { element, property: "fill", title: titled(element), name };
    }));
}

function drawGraph(place, data, scale) {
  const [nodes] = data.drawing.shape;
  const [middle, radius] = [130, 100];
  const size = Math.max(3, Math.min(11, 160 / nodes));
  const all = data.drawing.edges.length;
  const at = (node, away = radius) => {
    const angle = (2 * Math.PI * node) / nodes - Math.PI / 2;
    return [middle + away * Math.cos(angle), middle + away * Math.sin(angle)];
  };
  const graph = three(place, data, scale, 260, 260, (svg) => {
    const lines = add(svg, "g");
    const circles = Array.from({ length: nodes }, (_, node) => {
      const [cx, cy] = at(node);
      const made = add(svg, "circle", { class: "node", cx, cy, r: size });
      made.style.fill = "var(--mid)";
      if (nodes <= 20) {
        const [x, y] = at(node, radius + size + 8);
        add(svg, "text", { x, y: y + 4, "text-anchor": "middle" }, String(node));
      }
      return made;
    });
    return data.drawing.edges.map(([source, target]) => {
      const name = `node ${source} to node ${target}`;
      if (source === target) {
        return { element: circles[source], property: "fill", title: titled(circles[source]), name };
      }
      // Bent to one side, so that both directions of a pair can be seen.
      const [[x0, y0], [x1, y1]] = [at(source), at(target)];
      const bend = `${(x0 + x1) / 2 + (y1 - y0) * 0.08} ${(y0 + y1) / 2 - (x1 - x0) * 0.08}`;
      const element = add(lines, "path", { class: "edge", d: `M${x0} ${y0}Q${bend} ${x1} ${y1}` });
      return { element, property: "stroke", title: titled(element), name };
    });
  });
  if (all !== nodes * nodes) return graph;
  // A complete graph, whose edges come in the order of the entries of a matrix.
  const matrix = drawMatrix(place, { ...data, drawing: { shape: [nodes, nodes] } }, scale, "node");
  return (values) => {
    graph(values);
    matrix(values);
  };
}

function drawImage(place, data, scale) {
  const [channels, height, width] = data.drawing.shape;
  const [answer, exact, apart] = ["Answer", "Exact answer", "Error of each pixel, log scale"].map(
    (title) => panel(place, title, width, height, "canvas").getContext("2d"),
  );
  const plane = height * width;
  const paint = (context, level) => {
    const pixels = context.createImageData(width, height);
    for (let pixel = 0; pixel < plane; pixel += 1) {
      for (let colour = 0; colour < 3; colour += 1) {
        const entry = pixel + plane * Math.min(colour, channels - 1);
        pixels.data[4 * pixel + colour] = 255 * level(entry, pixel);
      }
      pixels.data[4 * pixel + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
  };
  paint(exact, (entry) => data.exact[entry]);
  return (values) => {
    const away = errors(values, data.exact);
    paint(answer, (entry) => values[entry]);
    paint(apart, (_, pixel) => {
      const all = Array.from({ length: channels }, (_, channel) => away[pixel + plane * channel]);
      return scale.share(Math.max(...all));
    });
  };
}

/* Cells with lines between some of them: the answer, where wrong cells are marked, and the exact one. */
function drawGrid(place, data) {
  const [rows, columns] = data.drawing.shape;
  const [side, edge] = [Math.min(30, 480 / Math.max(rows, columns)), 3];
  const { beside, above } = data.drawing;
  const [answer, exact] = ["Answer", "Exact answer"].map((title) => {
    const svg = panel(place, title, columns * side + 2 * edge, rows * side + 2 * edge);
    const shapes = Array.from({ length: rows * columns }, (_, cell) => {
      const [x, y] = [edge + (cell % columns) * side, edge + Math.floor(cell / columns) * side];
      const rect = add(svg, "rect", { x, y, width: side, height: side });
      const middle = { x: x + side / 2, y: y + side * 0.68, "text-anchor": "middle" };
      const text = add(svg, "text", { ...middle, style: `font-size: ${side * 0.55}px` });
      return { rect, text, title: titled(rect) };
    });
    const at = (row, column) => `M${edge + column * side} ${edge + row * side}`;
    const drawn = [
      ...beside.flatMap((line, row) => line.map((on, column) => on && `${at(row, column)}v${side}`)),
      ...above.flatMap((line, row) => line.map((on, column) => on && `${at(row, column)}h${side}`)),
    ];
    add(svg, "path", { class: "wall", d: drawn.filter(Boolean).join("") });
    return shapes;
  });
  const paint = (shapes, cells) => cells.flat().forEach(([said, kind], cell) => {
    const { rect, text, title } = shapes[cell];
    const where = `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
    rect.setAttribute("class", `square ${kind}`);
    text.setAttribute("class", kind);
    text.textContent = said;
    title.textContent = `${where}: ${said}, ${kind}`;
  });
  paint(exact, data.exact_cells);
  return (_, frame) => paint(answer, data.cells[frame]);
}

const PICTURES = {
  vector: drawVector,
  matrix: drawMatrix,
  graph: drawGraph,
  image: drawImage,
  grid: drawGrid,
};
