// Prevents a second submit of a form while the first one is in progress, and shows that it is.
// Otherwise a double click would sign up, send a mail or log in twice. Without this script the site
// answers the second request with the result of the first one.
// A block, because classic scripts share their names with those of the application.
{
  const LONGEST = 10_000; // after that the answer is lost, and the user may try again
  const DOWNLOAD = 2_000; // a download leaves the page as it is, and no event tells that it began
  const SPOKEN = 1_000; // a screen reader need not hear of a shorter wait

  const under_way = new Map();

  // A screen reader reads only what is written into a status that was there before.
  const status = document.createElement("p");
  status.className = "unseen";
  status.setAttribute("role", "status");
  document.body.append(status);

  const release = (form) => {
    const { timers, button } = under_way.get(form) ?? { timers: [] };
    timers.forEach(clearTimeout);
    button?.removeAttribute("aria-disabled");
    button?.removeAttribute("aria-busy");
    status.textContent = "";
    under_way.delete(form);
  };

  // The listener is on the window, so it runs after all handlers of the page, and a form that one
  // of them refused counts as not sent. The event comes after the check of the fields.
  // form.submit() does not cause it.
  addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    const of = (name) => button?.getAttribute(`form${name}`) ?? form.getAttribute(name) ?? "";
    // A GET form, or one that opens in another window, may be sent repeatedly.
    if (of("method").toLowerCase() !== "post" || !["", "_self"].includes(of("target"))) return;
    if (under_way.has(form)) {
      event.preventDefault();
      return;
    }

    // Do not disable the button, because then its value would not be sent and it would lose focus.
    button?.setAttribute("aria-disabled", "true");
    button?.setAttribute("aria-busy", "true");
    const longest = "download" in form.dataset ? DOWNLOAD : LONGEST;
    const speak = () => (status.textContent = "Please wait…");
    under_way.set(form, {
      button,
      timers: [setTimeout(release, longest, form), setTimeout(speak, SPOKEN)],
    });
    // A later handler may still refuse it.
    setTimeout(() => event.defaultPrevented && release(form));
  });

  // The back button may restore the page with this state.
  addEventListener("pageshow", () => [...under_way.keys()].forEach(release));
}
