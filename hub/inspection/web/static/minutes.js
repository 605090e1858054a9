// SPDX-License-Identifier: Apache-2.0
// A day's readings as they came, to be zoomed into; what the table says stays the measure.
"use strict";
(async () => {
  const section = document.getElementById("minutes");
  if (!section) return;
  const answer = await fetch(section.dataset.address);
  if (!answer.ok) return;
  const found = await answer.json();
  const first = Number(section.dataset.begin || -Infinity);
  const last = Number(section.dataset.end || Infinity);
  const times = [];
  const watts = [];
  found.begin.forEach((begin, place) => {
    if (begin < first || begin >= last) return;
    times.push(begin);
    watts.push(found.watts[place]);
    const end = found.end[place];
    const next = found.begin[place + 1];
    if (next !== end || next >= last) {
      // A step to its end, and then nothing: no line is drawn where the meter did not tell.
      times.push(end, end + 0.001);
      watts.push(found.watts[place], null);
    }
  });
  if (times.length < 3) return;
  section.hidden = false;
  const plot = section.querySelector(".plot");
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const format = (options) => {
    const writer = new Intl.DateTimeFormat(document.documentElement.lang, {
      ...options, hour: "2-digit", minute: "2-digit", hour12: false, timeZone: section.dataset.zone,
    });
    return (time) => (time === null ? "–" : writer.format(new Date(time * 1000)));
  };
  const clock = format({});
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid") } };
  const chart = new uPlot({
    width: plot.clientWidth,
    height: 260,
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), section.dataset.zone),
    series: [{ label: section.dataset.clock, value: (_, time) => clock(time) }, {
      label: section.dataset.label,
      stroke: colour("--tone-0"),
      width: 1.5,
      spanGaps: false,
      paths: uPlot.paths.stepped({ align: 1 }),
    }],
    axes: [{ ...axis, values: (_, times) => times.map(clock) }, { ...axis, size: 64 }],
    scales: { y: { range: (_, low, high) => [0, high || 1] } },
  }, [times, watts], plot);
  const whole = () => chart.setScale("x", { min: times[0], max: times[times.length - 1] });
  section.querySelector("[data-whole]").addEventListener("click", whole);
  window.addEventListener("resize", () => chart.setSize({ width: plot.clientWidth, height: 260 }));
})();
