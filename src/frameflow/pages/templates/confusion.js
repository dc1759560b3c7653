for (const box of document.querySelectorAll(".matrix")) {
  const count = Number(box.dataset.classes);
  const [frame, field, readout, cursor] = [".frame", ".cells", ".readout", ".cursor"].map((s) => box.querySelector(s));
  const [rows, columns] = [".rows", ".columns"].map((s) => [...box.querySelectorAll(s + " > span")]);
  const cells = [...field.querySelectorAll("i")];
  const held = new Map(cells.map((cell) => [cell.dataset.at, cell]));
  let place = [], order = [], at = null;

  function arrange(by) {
    place = rows.map((row) => Number(row.dataset[by]));
    order = [];
    place.forEach((p, index) => { order[p] = index; });
    for (const labels of [rows, columns]) labels.forEach((label, i) => label.style.setProperty("--i", place[i]));
    for (const cell of cells) {
      const [row, column] = cell.dataset.at.split(",");
      cell.style.setProperty("--r", place[row]);
      cell.style.setProperty("--c", place[column]);
    }
    leave();
  }

  function leave() {
    readout.hidden = cursor.hidden = true;
    for (const label of box.querySelectorAll(".on")) label.classList.remove("on");
  }

  function said(row, column) {
    const cell = held.get(row + "," + column), total = Number(rows[row].dataset.support);
    const [truth, guess] = [rows[row].textContent, columns[column].textContent];
    const number = cell ? cell.dataset.n : "0";
    const share = total ? " (" + (cell ? cell.dataset.p : "0") + " %)" : "";
    return [truth, row === column ? "answered rightly" : "taken for " + guess, number + " of " + total + share];
  }

  function show(r, c) {
    leave();
    at = [Math.min(Math.max(r, 0), count - 1), Math.min(Math.max(c, 0), count - 1)];
    const [row, column] = at.map((p) => order[p]);
    cursor.hidden = readout.hidden = false;
    cursor.style.setProperty("--r", at[0]);
    cursor.style.setProperty("--c", at[1]);
    rows[row].classList.add("on");
    columns[column].classList.add("on");
    const [truth, verb, number] = said(row, column);
    const name = document.createElement("b");
    name.textContent = truth;
    const figure = document.createElement("b");
    figure.textContent = number;
    readout.replaceChildren(name, " " + verb + ": ", figure);
    const spot = cursor.getBoundingClientRect(), size = readout.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const left = Math.min(Math.max(spot.left + spot.width / 2 - size.width / 2, 8), wide - size.width - 8);
    const above = spot.top - size.height - 8;
    readout.style.left = left + "px";
    readout.style.top = (above > 48 ? above : spot.bottom + 8) + "px";
  }

  function follow() {
    if (cursor.hidden) return;
    const spot = cursor.getBoundingClientRect();
    const seen = spot.bottom > 0 && spot.right > 0 && spot.top < innerHeight && spot.left < innerWidth;
    if (seen) show(...at); else leave();
  }

  function point(event) {
    const area = field.getBoundingClientRect(), size = area.width / count;
    const [r, c] = [Math.floor((event.clientY - area.top) / size), Math.floor((event.clientX - area.left) / size)];
    if (r >= 0 && c >= 0 && r < count && c < count) show(r, c);
  }

  field.addEventListener("pointermove", point);
  field.addEventListener("pointerdown", point);
  field.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") leave(); });
  frame.addEventListener("blur", leave);
  addEventListener("scroll", follow, { passive: true, capture: true });
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Escape") return leave();
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return undefined;
    event.preventDefault();
    const [r, c] = at && !cursor.hidden ? [at[0] + step[0], at[1] + step[1]] : at || [0, 0];
    at = [Math.min(Math.max(r, 0), count - 1), Math.min(Math.max(c, 0), count - 1)];
    cursor.hidden = false;
    cursor.style.setProperty("--r", at[0]);
    cursor.style.setProperty("--c", at[1]);
    cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    return requestAnimationFrame(() => show(...at));
  });

  const fit = () => box.classList.toggle("tiny", field.getBoundingClientRect().width / count < 8.5);
  new ResizeObserver(fit).observe(field);
  const settings = { ink: (v) => { box.classList.toggle("counts", v === "count"); }, order: arrange, size: (v) => { box.classList.toggle("readable", v === "readable"); } };
  for (const input of box.querySelectorAll(".tools input")) {
    input.addEventListener("change", () => settings[input.name.split("-").pop()](input.value));
    if (input.checked) settings[input.name.split("-").pop()](input.value);
  }
  box.querySelector(".tools").hidden = false;
}
