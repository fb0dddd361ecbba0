"use strict";
(async () => {
  const page = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const hidden = new Set();
  const PAPER = 660; // pixels that fit on a sheet of paper
  let printing = false;
  // For each run, steps with the epochs and the seconds that belong to them.
  const over = document.querySelector(".axis");
  const clocks = JSON.parse(over.dataset.clocks);
  const latest = Math.max(0, ...clocks.map((clock) => clock.time ? clock.time[1].at(-1) : 0));
  const unit = latest > 7200 ? ["hours", 3600] : latest > 180 ? ["minutes", 60] : ["seconds", 1];
  const AXES = { epoch: ["epoch", "epoch"], time: [`time (${unit[0]})`, unit[0]] };
  let along = "step";
  const coarse = matchMedia("(pointer: coarse)").matches;

  // Plotly comes packed: three fifths of the page would be air otherwise.
  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  // Plotly reads tags and entities in labels; names are text, and no tags.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const LABELS = new Set(["name", "text", "ticktext", "y"]);

  // A copy in which "@ink" is the style sheet's --ink, and every label is plain text.
  function dressed(value, key, style) {
    if (Array.isArray(value)) return value.map((item) => dressed(item, key, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, dressed(item, name, style)]));
    }
    if (typeof value !== "string") return value;
    if (value.startsWith("@") && key === "color") return style.getPropertyValue("--" + value.slice(1)).trim();
    return LABELS.has(key) ? plain(value) : value;
  }

  const STEP = /^step \(/;

  function shortened(name, most) {
    if (name.length <= most) return name;
    const end = Math.ceil((most - 1) * 0.6);
    return name.slice(0, most - 1 - end) + "…" + name.slice(name.length - end);
  }

  // Names that would look alike without their middle keep the part in which they differ.
  function apart(names, most) {
    const alike = new Map();
    for (const name of names) {
      const short = shortened(name, most);
      alike.set(short, [...(alike.get(short) ?? []), name]);
    }
    return names.map((name) => {
      const others = alike.get(shortened(name, most));
      if (others.length === 1) return shortened(name, most);
      let start = 0;
      while (start < name.length && others.every((other) => other[start] === name[start])) start += 1;
      const end = Math.floor((most - 2) * 0.4), middle = most - 2 - end;
      const from = Math.max(0, start - Math.floor(middle / 2));
      return "…" + name.slice(from, from + middle).replace(/^[./_]+/, "") + "…" + name.slice(name.length - end);
    });
  }

  function axis(own, style) {
    const colour = (name) => style.getPropertyValue(name).trim();
    return {
      automargin: true, zeroline: false, gridcolor: colour("--grid"), linecolor: colour("--line"),
      tickfont: { color: colour("--quiet") }, ticks: "", fixedrange: coarse,
      exponentformat: "e", showexponent: "all", minexponent: 3, ...own,
      title: { font: { color: colour("--quiet"), size: 12 }, standoff: 8, ...own.title },
    };
  }

  function heat(trace, own, layout, style, width) {
    trace.z = trace.customdata.map((row) => row.map((v) => (v === null || v <= 0 ? null : Math.log10(v))));
    trace.colorbar = {
      ...trace.colorbar, orientation: "h", x: 0, xanchor: "left", yref: "container", y: 1 - 20 / layout.height, yanchor: "top", ypad: 0,
      len: Math.min(1, 340 / width), thickness: 9, outlinewidth: 0, ticks: "", xpad: 0,
      tickfont: { color: style.getPropertyValue("--quiet").trim(), size: 11 },
      title: { text: "" },
    };
    // Plotly sets the title of a bar that lies down upon the bar; so it is a note above it.
    layout.annotations = [{
      text: plain(own.colorbar.title.text), showarrow: false, font: { color: style.getPropertyValue("--quiet").trim(), size: 12 },
      xref: "paper", x: 0, xanchor: "left", yref: "paper", y: 1, yanchor: "bottom", yshift: 46, xshift: -2,
    }];
    // As many names as there is room for, at most a third of the width.
    const names = own.y;
    trace.y = names.map((_, place) => place);
    const full = apart(names, 80);
    trace.text = trace.customdata.map((row, place) => row.map(() => plain(full[place])));
    const every = Math.ceil(names.length / Math.max(1, Math.floor((layout.height - 120) / 15)));
    const shown = names.map((_, place) => place).filter((place) => place % every === 0);
    const most = Math.max(10, Math.floor(width / 3 / 6.5));
    const short = apart(names, most);
    layout.yaxis = { ...layout.yaxis, tickvals: shown, ticktext: shown.map((place) => plain(short[place])), showgrid: false };
    layout.xaxis.showgrid = false;
    layout.plot_bgcolor = style.getPropertyValue("--frozen").trim();
    layout.margin.t = 66;
    layout.hovermode = "closest";
  }

  // Where steps lie along the axis that was chosen; beyond the ends it goes on as it was.
  function placed(steps, run) {
    const [at, values] = clocks[run][along];
    const scale = along === "time" ? unit[1] : 1;
    return steps.map((step) => {
      if (step === null) return null;
      let low = 0, high = at.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (at[middle] <= step) low = middle; else high = middle;
      }
      const share = at[high] > at[low] ? (step - at[low]) / (at[high] - at[low]) : 0;
      return (values[low] + share * (values[high] - values[low])) / scale;
    });
  }

  function spec(figure) {
    const style = getComputedStyle(page);
    const body = getComputedStyle(document.body);
    const { data, layout: own } = dressed({ data: figure.data, layout: figure.layout }, "", style);
    const width = printing ? PAPER : document.getElementById(figure.id).clientWidth || 600;
    const steps = own.xaxis.type !== "log" && !own.xaxis.tickformat;
    const layout = {
      ...own, width, autosize: false, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 14, t: 10, b: 44 }, hovermode: steps ? "x unified" : "closest",
      dragmode: coarse ? false : "zoom",
      font: { family: body.fontFamily, size: 12, color: body.color },
      hoverlabel: { bgcolor: style.getPropertyValue("--surface").trim(), bordercolor: style.getPropertyValue("--line").trim(), font: { color: body.color, family: body.fontFamily }, namelength: 40, align: "left" },
      xaxis: axis(own.xaxis, style), yaxis: axis(own.yaxis, style),
    };
    const moved = along !== "step" && STEP.test(own.xaxis.title.text);
    if (moved) {
      layout.xaxis = axis({ ...own.xaxis, title: { text: AXES[along][0] } }, style);
      layout.xaxis = { ...layout.xaxis, tickformat: "~g", hoverformat: ".4~g", nticks: Math.min(11, Math.max(5, Math.floor(width / 60))) };
      data.forEach((trace) => {
        trace.x = placed(trace.x, figure.run ?? trace.meta.run);
        const where = along === "epoch" ? "at epoch %{x:.3~f}" : `after %{x:.3~f} ${AXES.time[1]}`;
        if (trace.hovertemplate) trace.hovertemplate = trace.hovertemplate.replace("at step %{x:,d}", where);
      });
    } else if (steps) layout.xaxis = { ...layout.xaxis, tickformat: "~s", hoverformat: ",d", nticks: Math.min(11, Math.max(5, Math.floor(width / 60))) };
    if (own.yaxis.type === "log") {
      // Over few decades the powers of ten alone are too few ticks.
      const known = data.flatMap((trace) => trace.y).filter((value) => value > 0);
      const span = own.yaxis.range ? own.yaxis.range[1] - own.yaxis.range[0] : Math.log10(known.reduce((a, b) => Math.max(a, b), 0) || 1) - Math.log10(known.reduce((a, b) => Math.min(a, b), Infinity));
      layout.yaxis = { ...layout.yaxis, ...(!(span < Infinity) ? {} : span < 2.6 ? { dtick: "D2", tickformat: "~g" } : { dtick: Math.ceil(span / 8) }) };
    }
    data.forEach((trace, place) => {
      trace.visible = !hidden.has(trace.meta.run);
      if (trace.type === "heatmap") heat(trace, figure.data[place], layout, style, width);
    });
    return { data, layout };
  }

  async function draw(figure) {
    const chart = document.getElementById(figure.id);
    if (chart.closest("[hidden]")) return;
    const { data, layout } = spec(figure);
    await Plotly.react(chart, data, layout, {
      responsive: false, scrollZoom: false, doubleClick: "reset", displayModeBar: false,
    });
    chart.dataset.drawn = "yes";
    chart.dataset.width = layout.width;
  }

  // What can't be drawn is said in its place, and the others are drawn.
  async function tryToDraw(figure) {
    const chart = document.getElementById(figure.id);
    try {
      await draw(figure);
    } catch (error) {
      chart.hidden = true;
      chart.parentElement.querySelector(".remark").hidden = false;
      console.error(error);
    }
  }

  const drawAll = () => Promise.all(figures.map(tryToDraw));

  try {
    await unpack();
  } catch (error) {
    document.getElementById("no-pictures").hidden = false;
    document.querySelectorAll(".chart").forEach((chart) => { chart.hidden = true; });
    console.error(error);
    return;
  }

  // One after the other, so that the page answers meanwhile.
  for (const figure of figures) {
    await tryToDraw(figure);
    await new Promise((next) => setTimeout(next));
  }

  for (const box of document.querySelectorAll("input[data-run]")) {
    box.addEventListener("change", () => {
      const run = Number(box.dataset.run);
      if (box.checked) hidden.delete(run); else hidden.add(run);
      dim();
      for (const { id, run: only, data } of figures) {
        document.getElementById(id).closest("figure").hidden = data.every((trace) => hidden.has(only ?? trace.meta.run));
      }
      drawAll();
    });
  }
  // What tables say of a run that is hidden is dim.
  function dim() {
    for (const row of document.querySelectorAll("[data-row]")) row.classList.toggle("off", hidden.has(Number(row.dataset.row)));
  }

  for (const kind of ["epoch", "time"]) {
    if (!clocks.every((clock) => clock[kind])) over.querySelector(`[value=${kind}]`).parentElement.hidden = true;
  }
  over.hidden = over.querySelectorAll("label:not([hidden])").length < 2;
  over.addEventListener("change", (event) => { along = event.target.value; drawAll(); });

  for (const button of document.querySelectorAll(".save")) {
    const figure = figures.find(({ id }) => id === button.dataset.picture);
    button.hidden = document.getElementById(figure.id).hidden;
    button.addEventListener("click", () => {
      const { data, layout } = spec(figure);
      const ground = getComputedStyle(page).getPropertyValue("--surface").trim();
      const title = `${document.title.split(" · ")[0]} ${figure.id.replace("picture-", "")}`;
      Plotly.downloadImage({ data, layout: { ...layout, paper_bgcolor: ground } }, {
        format: "png", scale: 2, width: layout.width, height: layout.height,
        filename: title.replace(/[^\p{L}\p{N}.-]+/gu, "-"),
      });
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  // On paper there is always light, and another width.
  for (const moment of ["beforeprint", "afterprint"]) {
    addEventListener(moment, () => {
      printing = moment === "beforeprint";
      page.toggleAttribute("data-print", printing);
      drawAll();
    });
  }
  new ResizeObserver(() => {
    for (const figure of figures) {
      const chart = document.getElementById(figure.id);
      if (!printing && chart.clientWidth && String(chart.clientWidth) !== chart.dataset.width) tryToDraw(figure);
    }
  }).observe(document.body);
  page.dataset.drawn = "yes";
})();
