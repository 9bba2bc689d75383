"use strict";
// Search, and JSON on several lines once it is looked at. Text of records is only ever read and set as text.
const box = document.getElementById("search");
const found = document.getElementById("found");
const rows = Array.from(document.querySelectorAll("tr.record"), (row) => ({ row, text: null }));

function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const one of rows) {
    one.text ??= one.row.textContent.toLowerCase();
    const matches = words.every((word) => one.text.includes(word));
    one.row.hidden = !matches;
    count += matches;
  }
  for (const lane of document.querySelectorAll("div.lane")) {
    lane.hidden = !lane.querySelector("tr.record:not([hidden])");
    document.getElementById("picture-" + lane.id)?.classList.toggle("faded", lane.hidden);
  }
  for (const group of document.querySelectorAll("section.group")) {
    group.hidden = !group.querySelector("div.lane:not([hidden])");
  }
  found.textContent = words.length ? `${count} of ${rows.length} records` : "";
}

// Not parsed: numbers stay as they were written.
function indented(text) {
  let out = "", depth = 0, quoted = false;
  const line = () => "\n" + "  ".repeat(depth);
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (quoted) {
      out += letter;
      if (letter === "\\") out += text[++at];
      else if (letter === '"') quoted = false;
    } else if (letter === '"') {
      quoted = true;
      out += letter;
    } else if ((letter === "{" || letter === "[") && "}]".includes(text[at + 1])) {
      out += letter + text[++at];
    } else if (letter === "{" || letter === "[") {
      depth++;
      out += letter + line();
    } else if (letter === "}" || letter === "]") {
      depth--;
      out += line() + letter;
    } else {
      out += letter === "," ? letter + line() : letter === ":" ? ": " : letter;
    }
  }
  return out;
}

let waiting;
box.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(search, 150);
});
box.parentElement.hidden = false;

document.addEventListener("toggle", (event) => {
  const json = event.target.querySelector(":scope > pre.json");
  if (json && event.target.open && !json.dataset.read) {
    json.dataset.read = "yes";
    json.textContent = indented(json.textContent);
  }
}, true);
