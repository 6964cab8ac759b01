// Replaces what is on the page by what the server says now; without this the page reloads itself.
"use strict";

const PERIOD = 1000;
const PATIENCE = 5000;

async function refresh() {
  try {
    const answer = await fetch("/", { signal: AbortSignal.timeout(PATIENCE) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    document.title = fresh.title;
    document.body.classList.remove("stale");
  } catch {
    document.body.classList.add("stale");
    document.title = "no answer – dqlite";
  }
  setTimeout(refresh, document.hidden ? 10 * PERIOD : PERIOD);
}

setTimeout(refresh, PERIOD);
