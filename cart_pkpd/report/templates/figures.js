"use strict";
(function () {
  // Figures side by side are small: a button gives one the whole width.
  document.querySelectorAll(".row figure").forEach(function (figure) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Enlarge";
    button.addEventListener("click", function () {
      var wide = figure.classList.toggle("wide");
      button.setAttribute("aria-pressed", String(wide));
      button.textContent = wide ? "Make smaller" : "Enlarge";
    });
    figure.insertBefore(button, figure.querySelector("figcaption"));
  });

  // On a narrow screen the contents would stand between the reader and the answer.
  var contents = document.querySelector("details.contents");
  if (contents && window.matchMedia("(max-width: 74.99rem)").matches) { contents.open = false; }

  // A link into a closed <details> opens it.
  function open() {
    var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (var box = target && target.closest("details"); box; box = box.parentElement.closest("details")) { box.open = true; }
  }
  window.addEventListener("hashchange", open);
  open();
})();
