// Filters, sorts and shortens the outlier galleries. Without it they are plain lists, complete and in order of rank.
"use strict";
(() => {
  const form = document.querySelector("form.filters");
  if (!form) return;
  const galleries = [...document.querySelectorAll(".gallery")];
  const number = (card, key) => Number(card.dataset[key]);
  const orders = {
    rank: (a, b) => number(a, "rank") - number(b, "rank"),
    "confidence-down": (a, b) => number(b, "confidence") - number(a, "confidence"),
    "confidence-up": (a, b) => number(a, "confidence") - number(b, "confidence"),
    margin: (a, b) => number(a, "margin") - number(b, "margin"),
    entropy: (a, b) => number(b, "entropy") - number(a, "entropy"),
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }),
  };

  function filter() {
    const { kind, class: label } = form.elements;
    let shown = 0;
    for (const gallery of galleries) {
      const wanted = !kind.value || gallery.dataset.kind === kind.value;
      const button = gallery.querySelector(".show-all");
      const most = gallery.dataset.all ? Infinity : Number(button.dataset.first);
      let left = 0;
      for (const card of gallery.querySelectorAll(".card")) {
        const fits = label.value === "" || card.dataset.labels.split(" ").includes(label.value);
        left += fits;
        card.hidden = !fits || left > most;
      }
      button.hidden = left <= most;
      button.textContent = `Show all ${left}`;
      gallery.hidden = !wanted || left === 0;
      if (wanted) shown += left;
    }
    form.querySelector(".shown").textContent = shown === 1 ? "1 image" : `${shown} images`;
  }

  function sort() {
    for (const list of document.querySelectorAll(".gallery .cards")) {
      list.append(...[...list.children].sort(orders[form.elements.sort.value]));
    }
  }

  function showAll(gallery) {
    const before = new Set(gallery.querySelectorAll(".card:not([hidden])"));
    gallery.dataset.all = "yes";
    filter();
    // The button is hidden now: keyboard focus moves to the first card that it added.
    const next = [...gallery.querySelectorAll(".card:not([hidden])")].find((card) => !before.has(card));
    next?.setAttribute("tabindex", "-1");
    next?.focus({ preventScroll: true });
  }

  for (const gallery of galleries) gallery.querySelector(".show-all").addEventListener("click", () => showAll(gallery));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => (event.target.name === "sort" && sort(), filter()));
  form.hidden = false;
  // A browser may restore the controls of an earlier visit.
  sort();
  filter();
})();
