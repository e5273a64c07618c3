// Prevents a second submit of a form while the first one is in progress. Otherwise a double
// click would sign up, send a mail or log in twice. Without this script the site answers the
// second request with the result of the first one.
const LONGEST = 10_000; // after that the answer is lost, and the user may try again

const under_way = new Map();

const release = (form) => {
  const { timer, button } = under_way.get(form) ?? {};
  clearTimeout(timer);
  button?.removeAttribute("aria-disabled");
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
  under_way.set(form, { button, timer: setTimeout(release, LONGEST, form) });
  // A later handler may still refuse it.
  setTimeout(() => event.defaultPrevented && release(form));
});

// The back button may restore the page with this state.
addEventListener("pageshow", () => [...under_way.keys()].forEach(release));
