// On a narrow screen a row is told cell by cell, as console.css has it: each cell says which column it is of.
(() => {
  const name = () => {
    document.querySelectorAll("table.table:not(.sums):not(.by-cell)").forEach((table) => {
      const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
      if (heads.length < 3) return;
      table.classList.add("by-cell");
      table.querySelectorAll("tbody tr").forEach((row) => {
        let column = 0;
        [...row.cells].forEach((cell) => {
          if (cell.tagName === "TD") cell.dataset.of = heads[column] || "";
          column += cell.colSpan;
        });
      });
    });
  };
  document.addEventListener("htmx:after:swap", name);
  name();
})();
