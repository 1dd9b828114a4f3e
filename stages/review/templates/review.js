// Sends decisions, shows what was saved and what was not, and lets single keys decide.
"use strict";
(() => {
  const cards = [...document.querySelectorAll(".suspect")];
  const known = new Set([...document.querySelectorAll("#classes option")].map((option) => option.value));
  const shortcuts = document.querySelector("#shortcuts");
  const filters = document.querySelector("form.filters");
  let marked = null;

  async function send(card, decision, label = "") {
    const problem = card.querySelector(".problem");
    const buttons = [...card.querySelectorAll("button")];
    const held = document.activeElement;
    buttons.forEach((button) => (button.disabled = true));
    problem.textContent = "";
    try {
      const response = await fetch("decisions", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ number: Number(card.dataset.number), decision, label }),
      });
      const answer = await response.json();
      if (response.ok) {
        show(card, answer);
        if (label && !known.has(label)) addClass(label);
        return true;
      }
      problem.textContent = `Not saved. ${answer.problem}`;
    } catch {
      problem.textContent = "Not saved: the server does not answer. Is pipeline review still running?";
    } finally {
      buttons.forEach((button) => (button.disabled = false));
      if (held instanceof HTMLElement && card.contains(held)) held.focus();
    }
    return false;
  }

  function show(card, answer) {
    const verdict = document.createElement("bdi");
    verdict.textContent = answer.verdict;
    card.querySelector(".verdict").replaceChildren(...(answer.verdict ? [verdict] : []));
    card.querySelector(".undo").hidden = !answer.verdict;
    card.classList.toggle("decided", Boolean(answer.verdict));
    document.querySelector(".progress-bar .decided").textContent = answer.decided;
    document.querySelector("progress").value = answer.decided;
  }

  function addClass(label) {
    known.add(label);
    const option = document.createElement("option");
    option.value = label;
    document.querySelector("#classes").append(option);
  }

  async function decide(card, decision) {
    const input = card.querySelector("input[name=label]");
    const label = decision === "label_wrong" ? input.value.trim().normalize("NFC") : "";
    if (decision === "label_wrong" && !mayBe(card, label)) return;
    const saved = await send(card, decision === "no_label" ? "label_wrong" : decision, label);
    if (saved && decision !== "undo") mark(next(card));
    else if (saved) mark(card);
  }

  // A label that no image has yet is asked for twice: most are slips of the finger.
  function mayBe(card, label) {
    const problem = card.querySelector(".problem");
    if (!label) {
      problem.textContent = "Type the right label, or press No label.";
      return false;
    }
    if (known.has(label) || card.dataset.asked === label) return true;
    card.dataset.asked = label;
    problem.textContent = `No image is labelled “${label}” yet: press Label wrong again to make it a new class.`;
    return false;
  }

  const next = (card) => cards.slice(cards.indexOf(card) + 1).find((other) => !other.classList.contains("decided")) ?? card;

  function mark(card) {
    marked = card;
    card.focus();
  }

  function step(by) {
    const place = marked ? cards.indexOf(marked) + by : 0;
    if (cards[place]) mark(cards[place]);
  }

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    f: () => marked && decide(marked, "fine"),
    b: () => marked && decide(marked, "image_bad"),
    n: () => marked && decide(marked, "no_label"),
    u: () => marked && !marked.querySelector(".undo").hidden && decide(marked, "undo"),
    l: () => marked?.querySelector("input[name=label]").focus(),
    o: () => marked?.querySelector("a.wall").click(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches("input[name=label]")) return mark(event.target.closest(".suspect"));
    if (!shortcuts.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    const action = keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.addEventListener("focusin", (event) => {
    marked = event.target.closest(".suspect") ?? marked;
    if (event.target.matches("input[name=label]")) event.target.select();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-decision]");
    if (button) decide(button.closest(".suspect"), button.dataset.decision);
  });
  document.addEventListener("submit", (event) => {
    if (event.target === filters) return;
    event.preventDefault();
    decide(event.target.closest(".suspect"), "label_wrong");
  });
  filters.addEventListener("change", () => filters.requestSubmit());
  shortcuts.checked = localStorage.getItem("shortcuts") !== "off";
  shortcuts.addEventListener("change", () => localStorage.setItem("shortcuts", shortcuts.checked ? "on" : "off"));
})();
