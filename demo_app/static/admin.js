// Asks for the numbers every five seconds, while somebody looks. Without it the page works too.
"use strict";

const EVERY = 5000;
const numbers = document.querySelector("[data-source]");
const live = document.getElementById("live");

async function refresh() {
  const response = await fetch(numbers.dataset.source);
  if (!response.ok || response.redirected) throw new Error("signed out");
  const values = await response.json();
  for (const [name, value] of Object.entries(values)) {
    numbers.querySelector(`[data-number="${name}"]`).textContent = value;
  }
}

async function again() {
  try {
    if (!document.hidden) await refresh();
    setTimeout(again, EVERY);
  } catch {
    live.textContent = "No longer refreshed. Please load the page again.";
  }
}

live.textContent = "Refreshed every five seconds, which keeps nobody signed in.";
setTimeout(again, EVERY);
