"use strict";
(function () {
  // The interactive view of patients. Texts of the data become text nodes, never markup.
  var source = document.getElementById("explorer-data");
  var root = document.getElementById("explorer");
  if (!source || !root) { return; }
  var data = JSON.parse(source.textContent);
  if (!data.endpoints.length) { return; }
  var holder = document.createElement("div");
  holder.innerHTML = "<svg></svg>";
  var NS = holder.firstChild.namespaceURI;
  var MARGIN = { top: 14, right: 16, bottom: 44, left: 64 };
  var NEAR = 26; // pixels within which a point is pointed at
  var state = { endpoint: 0, level: "log", time: "linear", span: "short", mark: -1, pinned: -1, over: -1, doses: data.doses.map(function () { return true; }) };
  var shown = []; // points on the page: x, y, patient, day, level, below

  function make(name, attributes, text) {
    var element = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    if (text !== undefined) { element.textContent = text; }
    return element;
  }

  function draw(name, attributes, text) {
    var element = document.createElementNS(NS, name);
    Object.keys(attributes).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    if (text !== undefined) { element.textContent = text; }
    return element;
  }

  function number(value) {
    var size = Math.abs(value);
    if (size !== 0 && (size >= 1e6 || size < 1e-3)) { return power(value); }
    return value.toLocaleString("en", { maximumSignificantDigits: 3 });
  }

  function power(value) {
    var parts = value.toExponential(2).split("e");
    var digits = String(Number(parts[1])).replace(/./g, function (c) { return c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]; });
    var factor = Number(parts[0]);
    return (factor === 1 ? "" : factor + "×") + "10" + digits;
  }

  // Controls ---------------------------------------------------------------------------------

  function select(label, key, options, value) {
    var box = make("label", {}, label + " ");
    var list = make("select", { "data-control": key });
    options.forEach(function (o) { list.appendChild(make("option", { value: o[0] }, o[1])); });
    list.value = String(value);
    list.addEventListener("change", function () {
      state[key] = isNaN(Number(list.value)) ? list.value : Number(list.value);
      update();
    });
    box.appendChild(list);
    return box;
  }

  function doses() {
    var set = make("fieldset", { "class": "doses" });
    set.appendChild(make("legend", {}, "Doses"));
    data.doses.forEach(function (dose, i) {
      var label = make("label");
      var box = make("input", { type: "checkbox", "data-dose": String(i) });
      box.checked = true;
      box.addEventListener("change", function () { state.doses[i] = box.checked; update(); });
      var swatch = make("span", { "class": "swatch", "aria-hidden": "true" });
      swatch.style.background = dose.colour;
      var n = data.patients.filter(function (p) { return p.dose === i; }).length;
      [box, swatch, make("span", {}, dose.label + ", n = " + n)].forEach(function (e) { label.appendChild(e); });
      set.appendChild(label);
    });
    return set;
  }

  var scales = [["log", "logarithmic"], ["linear", "linear"]];
  var controls = make("div", { "class": "controls" });
  var nobody = [[-1, "nobody"]];
  controls.appendChild(select("Endpoint", "endpoint", data.endpoints.map(function (e, i) { return [i, e.label]; }), 0));
  controls.appendChild(select("Level", "level", scales, "log"));
  controls.appendChild(select("Time", "span", [["short", "to day " + data.short], ["whole", "whole follow-up"]], "short"));
  controls.appendChild(select("Time axis", "time", scales, "linear"));
  controls.appendChild(select("Stand out", "mark", nobody.concat(data.marks.map(function (m, i) { return [i, m.label + ", n = " + m.patients.length]; })), -1));
  controls.appendChild(select("Patient", "pinned", nobody.concat(data.patients.map(function (p, i) { return [i, p.id]; })), -1));
  controls.appendChild(doses());
  var picker = controls.querySelector("[data-control=pinned]");

  var area = make("div", { "class": "area" });
  var svg = draw("svg", { role: "img" });
  var tip = make("div", { "class": "tip", hidden: "" });
  area.appendChild(svg);
  area.appendChild(tip);
  var side = make("div", { "class": "who", "aria-live": "polite" });
  var split = make("div", { "class": "split" });
  split.appendChild(area);
  split.appendChild(side);
  root.appendChild(controls);
  root.appendChild(split);

  // Scales -----------------------------------------------------------------------------------

  function scale(kind, low, high, from, to) {
    if (kind === "log") {
      var a = Math.log10(low), b = Math.log10(high);
      return function (v) { return from + (to - from) * (Math.log10(v) - a) / (b - a || 1); };
    }
    return function (v) { return from + (to - from) * (v - low) / (high - low || 1); };
  }

  function logTicks(low, high) {
    var found = [];
    for (var k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k += 1) {
      if (Math.pow(10, k) >= low * 0.999 && Math.pow(10, k) <= high * 1.001) { found.push(Math.pow(10, k)); }
    }
    var every = Math.ceil(found.length / 7);
    return found.filter(function (_, i) { return i % every === 0; });
  }

  function linearTicks(low, high, steps) {
    var rough = (high - low) / 6, size = Math.pow(10, Math.floor(Math.log10(rough || 1)));
    var step = (steps || [1, 2, 5, 10].map(function (f) { return f * size; })).find(function (s) { return s >= rough; }) || 10 * size;
    var found = [];
    for (var v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) { found.push(Number(v.toPrecision(12))); }
    return found;
  }

  function ends(values, kind) {
    var low = Infinity, high = -Infinity;
    values.forEach(function (v) { low = Math.min(low, v); high = Math.max(high, v); });
    if (!isFinite(low)) { return kind === "log" ? [1, 10] : [0, 1]; }
    if (kind === "linear") { return [Math.min(0, low), high * 1.04 || 1]; }
    return [low / 1.3, high * 1.3];
  }

  // The picture ------------------------------------------------------------------------------

  function visible(record) {
    if (!state.doses[data.patients[record[0]].dose]) { return false; }
    if (state.span === "short" && record[1] > data.short + 3) { return false; }
    if (state.time === "log" && record[1] <= 0) { return false; }
    return state.level === "linear" || record[2] > 0;
  }

  function axis(ticks, position, box, across, title) {
    ticks.forEach(function (v) {
      var p = position(v);
      svg.appendChild(across
        ? draw("line", { x1: p, x2: p, y1: box.bottom, y2: box.bottom + 5, "class": "axis" })
        : draw("line", { x1: box.left, x2: box.right, y1: p, y2: p, "class": "grid" }));
      svg.appendChild(draw("text", across
        ? { x: p, y: box.bottom + 19, "text-anchor": "middle" }
        : { x: box.left - 8, y: p + 4, "text-anchor": "end" }, number(v)));
    });
    svg.appendChild(draw("text", across
      ? { x: (box.left + box.right) / 2, y: box.bottom + 38, "text-anchor": "middle", "class": "title" }
      : { x: 14, y: (box.top + box.bottom) / 2, "text-anchor": "middle", "class": "title", transform: "rotate(-90 14 " + (box.top + box.bottom) / 2 + ")" }, title));
  }

  function classOf(i) {
    var focus = state.over >= 0 ? state.over : state.pinned;
    if (focus >= 0) { return i === focus ? "front" : "back"; }
    if (state.mark < 0) { return ""; }
    return data.marks[state.mark].patients.indexOf(i) >= 0 ? "front" : "back";
  }

  function profile(i, points) {
    var group = draw("g", { "class": classOf(i), "data-patient": i });
    var colour = data.doses[data.patients[i].dose].colour;
    group.style.color = colour;
    group.appendChild(draw("polyline", { points: points.map(function (p) { return p.x.toFixed(1) + "," + p.y.toFixed(1); }).join(" ") }));
    points.forEach(function (p) {
      group.appendChild(p.below
        ? draw("path", { d: "M" + (p.x - 4).toFixed(1) + " " + (p.y - 3).toFixed(1) + "h8l-4 7z", "class": "low" })
        : draw("circle", { cx: p.x.toFixed(1), cy: p.y.toFixed(1), r: 2.4 }));
    });
    return group;
  }

  function picture() {
    var endpoint = data.endpoints[state.endpoint];
    var width = Math.max(300, area.clientWidth), height = Math.max(300, Math.min(460, width * 0.62));
    var box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    var records = endpoint.records.filter(visible);
    var t = ends(records.map(function (r) { return r[1]; }), state.time);
    var v = ends(records.map(function (r) { return r[2]; }), state.level);
    var x = scale(state.time, t[0], t[1], box.left, box.right), y = scale(state.level, v[0], v[1], box.bottom, box.top);
    svg.replaceChildren();
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", endpoint.label + " of " + new Set(records.map(function (r) { return r[0]; })).size + " patients against time, " + state.level + " level axis");
    var days = [1, 2, 7, 14, 28, 56, 91, 182, 364];
    axis(state.level === "log" ? logTicks(v[0], v[1]) : linearTicks(v[0], v[1]), y, box, false, endpoint.label + (endpoint.unit ? " (" + endpoint.unit + ")" : ""));
    axis(state.time === "log" ? logTicks(t[0], t[1]) : linearTicks(t[0], t[1], days), x, box, true, "Time since first infusion (days)");
    if (endpoint.lloq && endpoint.lloq >= v[0] && endpoint.lloq <= v[1]) {
      var limit = y(endpoint.lloq);
      svg.appendChild(draw("line", { x1: box.left, x2: box.right, y1: limit, y2: limit, "class": "limit" }));
      svg.appendChild(draw("text", { x: box.right, y: limit - 5, "text-anchor": "end" }, "LLOQ " + number(endpoint.lloq)));
    }
    svg.appendChild(draw("path", { d: "M" + box.left + " " + box.top + "V" + box.bottom + "H" + box.right, "class": "axis" }));
    if (!records.length) {
      svg.appendChild(draw("text", { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, "text-anchor": "middle" }, "No record to show: choose a dose."));
    }
    shown = records.map(function (r) { return { x: x(r[1]), y: y(r[2]), patient: r[0], day: r[1], level: r[2], below: r[3] }; });
    var of = {};
    shown.forEach(function (p) { (of[p.patient] = of[p.patient] || []).push(p); });
    var groups = Object.keys(of).map(function (i) { return profile(Number(i), of[i].sort(function (a, b) { return a.day - b.day; })); });
    groups.sort(function (a, b) { return (a.getAttribute("class") === "front") - (b.getAttribute("class") === "front"); });
    groups.forEach(function (g) { svg.appendChild(g); });
  }

  function recolour() {
    svg.querySelectorAll("g[data-patient]").forEach(function (g) {
      g.setAttribute("class", classOf(Number(g.dataset.patient)));
    });
    var front = Array.from(svg.querySelectorAll("g.front"));
    front.forEach(function (g) { svg.appendChild(g); });
  }

  // Who it is --------------------------------------------------------------------------------

  function peak(i, endpoint) {
    var best = null;
    endpoint.records.forEach(function (r) { if (r[0] === i && (!best || r[2] > best[2])) { best = r; } });
    return best;
  }

  function describe() {
    var i = state.over >= 0 ? state.over : state.pinned;
    side.replaceChildren();
    if (i < 0) {
      side.appendChild(make("p", { "class": "reason" }, "Open triangles: values below the LLOQ, at the LLOQ. Point at a line, or choose a patient, for dose, toxicity, response, exposure and peaks."));
      return;
    }
    var patient = data.patients[i], list = make("dl");
    side.appendChild(make("p", { "class": "heading" }, patient.id + ", " + data.doses[patient.dose].label));
    patient.facts.forEach(function (f) { list.appendChild(make("dt", {}, f[0])); list.appendChild(make("dd", {}, f[1])); });
    data.endpoints.forEach(function (e) {
      var p = peak(i, e);
      if (!p || e.analysed) { return; } // whose Cmax stands above
      list.appendChild(make("dt", {}, "Peak " + e.label));
      list.appendChild(make("dd", {}, p[3] ? "below the LLOQ" : number(p[2]) + " " + e.unit + ", day " + number(p[1])));
    });
    side.appendChild(list);
  }

  function nearest(event) {
    var place = svg.getBoundingClientRect(), found = null, least = NEAR * NEAR;
    var x = event.clientX - place.left, y = event.clientY - place.top;
    shown.forEach(function (p) {
      var d = (p.x - x) * (p.x - x) + (p.y - y) * (p.y - y);
      if (d < least) { least = d; found = p; }
    });
    return found;
  }

  function point(event) {
    var found = nearest(event), before = state.over;
    state.over = found ? found.patient : -1;
    tip.hidden = !found;
    if (found) {
      var e = data.endpoints[state.endpoint];
      tip.textContent = data.patients[found.patient].id + ", day " + number(found.day) + ": " + (found.below ? "below " : "") + number(found.level) + " " + e.unit;
      tip.style.left = Math.min(found.x + 10, area.clientWidth - 190) + "px";
      tip.style.top = Math.max(0, found.y - 34) + "px";
    }
    if (state.over !== before) { recolour(); describe(); }
  }

  function leave() {
    tip.hidden = true;
    if (state.over >= 0) { state.over = -1; recolour(); describe(); }
  }

  function pin(event) {
    var found = nearest(event);
    state.pinned = found && found.patient !== state.pinned ? found.patient : -1;
    picker.value = String(state.pinned);
    recolour();
    describe();
  }

  function update() {
    tip.hidden = true;
    state.over = -1;
    picture();
    describe();
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("click", pin);
  if (window.ResizeObserver) {
    var last = 0;
    new ResizeObserver(function () {
      if (area.clientWidth !== last) { last = area.clientWidth; window.requestAnimationFrame(picture); }
    }).observe(area);
  }
  update();
})();
