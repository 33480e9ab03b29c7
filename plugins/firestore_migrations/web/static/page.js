// Follows Airflow's light or dark theme, keeps open pages up to date, and sends no form twice. The page works without it.
"use strict";

function followTheme() {
  let dark = null;
  try {
    const outer = window.parent.document.documentElement; // Airflow's own page, where this one is a frame of it
    if (outer !== document.documentElement) {
      dark = outer.classList.contains("dark");
    }
    const chosen = localStorage.getItem("theme");
    if (dark === null && (chosen === "dark" || chosen === "light")) {
      dark = chosen === "dark";
    }
  } catch {
    return; // framed by another page: the system's choice holds
  }
  if (dark !== null) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }
}

function watchTheme() {
  followTheme();
  window.addEventListener("storage", followTheme);
  try {
    const outer = window.parent.document.documentElement;
    new MutationObserver(followTheme).observe(outer, { attributes: true, attributeFilter: ["class"] });
  } catch {
    return;
  }
}

function describeFocus(part) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  if (!focused) {
    return null;
  }
  const all = [...part.querySelectorAll("a, button, input, select, summary")];
  return { index: all.indexOf(focused), id: focused.id };
}

function restoreFocus(part, focus) {
  if (!focus) {
    return;
  }
  const all = [...part.querySelectorAll("a, button, input, select, summary")];
  const again = (focus.id && document.getElementById(focus.id)) || all[focus.index];
  if (again) {
    again.focus({ preventScroll: true });
  }
}

async function refresh(part) {
  let every = Number(part.dataset.every);
  const isTyping = part.contains(document.activeElement) && document.activeElement.matches("input, select");
  if (!document.hidden && !isTyping) {
    try {
      const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10000) });
      const text = await answer.text();
      if (answer.ok) {
        part.classList.remove("stale");
        if (text.trim() !== part.dataset.shown) {
          const focus = describeFocus(part);
          const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
          part.innerHTML = text; // our own markup, in which the server has escaped every value
          part.dataset.shown = text.trim();
          for (const id of open) {
            document.getElementById(id)?.setAttribute("open", "");
          }
          restoreFocus(part, focus);
          guardForms(part);
          freeLinks(part);
        }
      } else {
        part.classList.add("stale");
        every = 5000;
      }
    } catch {
      part.classList.add("stale");
      every = 5000;
    }
  }
  setTimeout(refresh, every, part);
}

function guardForms(part) {
  for (const form of part.querySelectorAll("form[method=post]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes"; // the server would take it once anyway
      setTimeout(() => {
        for (const button of form.querySelectorAll("button")) {
          button.disabled = true;
        }
      });
    });
  }
}

function freeLinks(part) {
  if (window.parent !== window) {
    for (const link of part.querySelectorAll("a.airflow")) {
      link.remove(); // Airflow's frame lets no link lead out of it, and Airflow is around it anyway
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  watchTheme();
  guardForms(document);
  freeLinks(document);
  for (const select of document.querySelectorAll("select[data-submits]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
  for (const part of document.querySelectorAll("[data-live]")) {
    setTimeout(refresh, Number(part.dataset.every), part);
  }
});

window.addEventListener("pageshow", (event) => {
  if (event.persisted) {
    window.location.reload(); // what the browser kept may be old, and its forms sent
  }
});
