// A strip moves under the pointer and under the focus; a click, a tap, Enter or Space keeps it
// moving or holds it still; left and right step through its frames.
for (const strip of document.querySelectorAll(".strip")) {
  const frames = Number(getComputedStyle(strip).getPropertyValue("--frames"));
  let frame = 0;
  strip.setAttribute("role", "button");
  strip.setAttribute("aria-pressed", "false");

  function set(state) {
    strip.classList.toggle("moving", state === "moving");
    strip.classList.toggle("still", state === "still");
    strip.setAttribute("aria-pressed", String(state === "moving"));
  }

  function step(by) {
    if (!strip.classList.contains("still")) frame = 0;
    frame = (frame + by + frames) % frames;
    set("still");
    strip.style.backgroundPositionX = (frames > 1 ? (100 * frame) / (frames - 1) : 0) + "%";
  }

  strip.addEventListener("click", () => set(strip.classList.contains("moving") ? "still" : "moving"));
  strip.addEventListener("keydown", (event) => {
    const act = { Enter: () => strip.click(), " ": () => strip.click(), ArrowLeft: () => step(-1), ArrowRight: () => step(1), Escape: () => set("") }[event.key];
    if (act && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      act();
    }
  });
}
