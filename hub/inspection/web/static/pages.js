// SPDX-License-Identifier: Apache-2.0
// The pages work without this file. It only sees to it that what was typed goes nowhere twice.
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
