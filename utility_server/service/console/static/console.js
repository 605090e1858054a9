// SPDX-License-Identifier: Apache-2.0
// The console works without this file. A form is sent once, and a page whose run goes on renews the
// part that says how far it is, until it is told to stand still (WCAG 2.2, 2.2.2).
"use strict";
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented) return;
  setTimeout(() => { button.disabled = true; }, 0);
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
});
const renew = document.getElementById("renew");
if (renew) {
  document.getElementById("renewing").hidden = false;
  const look = async () => {
    const live = document.getElementById("live");
    if (!live || live.dataset.live !== "yes") return;
    if (renew.checked && !document.hidden && !live.contains(document.activeElement)) {
      try {
        const answer = await fetch(location.href, { headers: { "X-Poll": "1" }, redirect: "error" });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.getElementById("live");
          if (fresh) live.replaceWith(fresh);
        }
      } catch { /* the service is away for a moment */ }
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
}
