// Holds the second submit of a form back while the first is under way: a double click
// would sign up, mail or log in twice. Without this script the site answers the second
// one with what the first has done.
const LONGEST = 10_000; // after that the answer is lost, and it may be tried again

const under_way = new Map();

const release = (form) => {
  const { timer, button } = under_way.get(form) ?? {};
  clearTimeout(timer);
  button?.removeAttribute("aria-disabled");
  under_way.delete(form);
};

// At the window, after every handler of the page: what one of them has refused is not sent.
// It follows the check of the fields, and form.submit() does not come by here.
addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  const of = (name) => button?.getAttribute(`form${name}`) ?? form.getAttribute(name) ?? "";
  // What opens elsewhere, or only asks, may be sent as often as one likes.
  if (of("method").toLowerCase() !== "post" || !["", "_self"].includes(of("target"))) return;
  if (under_way.has(form)) {
    event.preventDefault();
    return;
  }

  // Not disabled: the button's own value would stay behind, and the focus be lost.
  button?.setAttribute("aria-disabled", "true");
  under_way.set(form, { button, timer: setTimeout(release, LONGEST, form) });
  // A later handler may still refuse it.
  setTimeout(() => event.defaultPrevented && release(form));
});

// The back button brings the page as it was left.
addEventListener("pageshow", () => [...under_way.keys()].forEach(release));
