// Sends six requests of this session at the same moment, and draws what became of them.
"use strict";

const REQUESTS = 6;
const UNCHANGED = "readonly";

async function fire(form) {
  const headers = { Accept: "application/json" };
  const response = await fetch(form.action, { method: "POST", body: new FormData(form), headers });
  if (!response.ok) throw new Error(`the answer was ${response.status}`);
  return response.json();
}

async function counter(form) {
  return (await (await fetch(form.dataset.counter)).json()).counter;
}

function bar(kind, from, to, all) {
  const element = document.createElement("span");
  element.className = `part ${kind}`;
  element.style.left = `${(100 * from) / all}%`;
  element.style.width = `${Math.max(0, (100 * (to - from)) / all)}%`;
  return element;
}

function row(run, start, all) {
  const line = document.createElement("div");
  const track = document.createElement("div");
  const text = document.createElement("span");
  line.className = "track-row";
  track.className = "track";
  text.className = "read";
  text.textContent = `${run.seen} → ${run.left}`;
  track.append(
    bar("waiting", run.arrived - start, run.opened - start, all),
    bar("working", run.opened - start, run.done - start, all),
  );
  line.append(track, text);
  return line;
}

function draw(chart, runs) {
  const start = Math.min(...runs.map((run) => run.arrived));
  const all = Math.max(...runs.map((run) => run.done)) - start;
  const axis = document.createElement("p");
  axis.className = "axis soft";
  axis.textContent = `${all.toFixed(1)} seconds, all six together`;
  runs.sort((one, other) => one.opened - other.opened);
  chart.replaceChildren(...runs.map((run) => row(run, start, all)), axis);
  chart.hidden = false;
}

function verdict(mode, before, after) {
  if (mode === UNCHANGED) return ["", `The counter stayed at ${after}. Each was refused its change.`];
  const expected = before + REQUESTS;
  const sum = `The counter went from ${before} to ${after}; ${expected} was to be expected.`;
  const lost = expected - after;
  return lost > 0 ? ["bad", `${sum} ${lost} of ${REQUESTS} counts were lost.`] : ["good", `${sum} None was lost.`];
}

function prepare(section) {
  const form = section.querySelector("form");
  const button = section.querySelector("button");
  const outcome = section.querySelector(".outcome");
  const say = ([kind, text]) => {
    outcome.className = `outcome ${kind}`;
    outcome.textContent = text;
  };
  button.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // All buttons at once: the runs share one counter, and must not meet.
    const buttons = document.querySelectorAll(".run button");
    buttons.forEach((each) => (each.disabled = true));
    say(["", "Under way …"]);
    try {
      const before = await counter(form);
      const runs = await Promise.all(Array.from({ length: REQUESTS }, () => fire(form)));
      draw(section.querySelector(".chart"), runs);
      say(verdict(section.dataset.mode, before, await counter(form)));
    } catch (error) {
      say(["bad", `That didn't work: ${error.message}. Please load the page again.`]);
    } finally {
      buttons.forEach((each) => (each.disabled = false));
    }
  });
}

document.querySelectorAll(".run").forEach(prepare);
