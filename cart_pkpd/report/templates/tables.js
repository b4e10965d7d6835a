"use strict";
(function () {
  // A column sorts by the full value in data-sort, not by the rounded text; missing values stay last.
  function value(row, column) {
    return row.cells[column].dataset.sort;
  }

  function compare(numeric, direction) {
    return function (a, b) {
      if (a.key === "" || b.key === "") {
        return (a.key === "") - (b.key === "") || a.place - b.place;
      }
      var order = numeric
        ? parseFloat(a.key) - parseFloat(b.key)
        : a.key.localeCompare(b.key, undefined, { numeric: true });
      return direction * order || a.place - b.place;
    };
  }

  function isNumeric(rows) {
    return rows.every(function (r) { return r.key === "" || !isNaN(Number(r.key)); });
  }

  function sort(header) {
    var table = header.closest("table");
    var column = header.cellIndex;
    var rising = header.getAttribute("aria-sort") !== "ascending";
    var rows = Array.from(table.tBodies[0].rows).map(function (row, place) {
      return { row: row, place: place, key: value(row, column) };
    });
    rows.sort(compare(isNumeric(rows), rising ? 1 : -1));
    rows.forEach(function (r) { table.tBodies[0].appendChild(r.row); });
    table.querySelectorAll("th[aria-sort]").forEach(function (th) {
      th.setAttribute("aria-sort", "none");
    });
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
  }

  // The headings are real buttons: Tab reaches them, Enter and Space press them.
  document.querySelectorAll("th button").forEach(function (button) {
    button.addEventListener("click", function () { sort(button.closest("th")); });
  });

  // A closed <details> would be missing on paper.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (d) { d.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (d) { d.open = false; });
  });
})();
