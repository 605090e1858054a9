// SPDX-License-Identifier: Apache-2.0
// The pages work without this file. It sees to it that what was typed goes nowhere twice, and
// that a page which renews itself can be made to stand still (WCAG 2.2, 2.2.2).
"use strict";
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented) return;
  // After the form's data were taken: a disabled button would not be sent.
  setTimeout(() => { button.disabled = true; }, 0);
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
});
const renew = document.getElementById("renew");
if (renew && window.htmx) {
  document.getElementById("renewing").hidden = false;
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const inside = document.getElementById("live").contains(document.activeElement);
    if (!renew.checked || inside || document.hidden) event.preventDefault();
  });
}
