// Counts down the time until a form may be sent again, and holds its button until then.
// Without this script the page says how long it takes, and the site refuses what comes too early.
for (const shown of document.querySelectorAll(".wait")) {
  const alert = shown.closest(".alert");
  const button = alert.parentElement.querySelector("form button[type=submit]");
  const email = alert.parentElement.querySelector("form input[type=email]:not([readonly])");
  const end = Date.now() + shown.dataset.seconds * 1000;

  // In the words of the page's language, rounded up like the site's own.
  const words = (seconds) => {
    const [unit, length] =
      seconds < 120 ? ["second", 1] : seconds < 7200 ? ["minute", 60] : ["hour", 3600];
    const style = { style: "unit", unit, unitDisplay: "long" };
    const format = new Intl.NumberFormat(document.documentElement.lang || "en", style);
    return format.format(Math.ceil(seconds / length));
  };

  const release = () => {
    if (button) button.disabled = false;
  };
  // Another address has limits of its own.
  email?.addEventListener("input", release, { once: true });

  // The clock is asked each time: a browser slows the timers of a page that nobody looks at.
  const tick = () => {
    const seconds = Math.ceil((end - Date.now()) / 1000);
    if (seconds > 0) {
      shown.textContent = words(seconds);
      return;
    }
    clearInterval(timer);
    release();
    // A screen reader says this, but not each second before it.
    alert.textContent = shown.dataset.over;
  };

  if (button) button.disabled = true;
  const timer = setInterval(tick, 1000);
}
